"""An ImageSpec and an architecture in, an Image out; `pipeline.build` is the way in."""
