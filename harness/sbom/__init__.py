"""What an image is made of, for whoever must know: a software bill of materials, and two of them compared."""
