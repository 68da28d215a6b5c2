"""An ImageSpec and an architecture in, an Image out: resolved, assembled, written, and kept by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths
from harness.arch import ARCHES, Arch
from harness.build.debian import Debian
from harness.build.files import for_arch
from harness.build.lock import PackageLock
from harness.build.reach import acts_of
from harness.build.settings import COMPRESSIONS, Settings
from harness.build.together import Together
from harness.errors import UserError
from harness.image import MANIFEST, OWN_INIT, Image
from harness.spec import executable, host_file, library, load_component
from harness.spec.models.component import ComponentSpec
from harness.spec.models.image import ImageSpec, Volume
from harness.spec.rules.image import ucode_file
from harness.spec.rules.references import kind_of
from harness.store import Store, digest_of, file_digest
from harness.tree import versions

if TYPE_CHECKING:
    from harness.build.kernel import KernelFiles
    from harness.build.layer import Layer
    from harness.build.rootfs import ResolvedImage
    from harness.oci.fetch import Images
    from harness.oci.image import OciImage
    from harness.oci.layers import Limits

PROBE_COMPONENT = "busybox"
ProgressCallback = Callable[[str], None]


def silent(_: str) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Inputs:
    """Everything that the bytes of an image depend on."""

    spec: ImageSpec
    arch: Arch
    components: dict[str, ComponentSpec]  # by reference
    compression: str
    # OCI images' digests, those of a manifest and of what is attached, by reference
    images: dict[str, list[str]] = field(default_factory=dict)
    layouts: dict[str, list[list[str]]] = field(default_factory=dict)  # the same of volumes' layouts, by volume
    format: str = Settings.format
    loaders: tuple[str, ...] = ()  # the packages of its boot loader
    first: tuple[str, ...] = ()  # modules that its first stage loads beside the kernel component's own

    @property
    def layers(self) -> dict[str, ComponentSpec]:
        """The components that become layers: all but the kernel."""
        return {name: spec for name, spec in self.components.items() if spec.kernel is None}


class Builder:
    """Builds images with one set of settings; safe to use from several threads."""

    def __init__(self, settings: Settings, progress: ProgressCallback = silent, store: Store | None = None) -> None:
        if settings.compression not in COMPRESSIONS:
            raise UserError(f"unknown compression {settings.compression!r}", hint=f"one of: {', '.join(COMPRESSIONS)}")
        self.settings, self._together = settings, Together(progress)
        _format(settings.format)  # UserError where there is no such format
        self.progress = self._together.tell
        self.store = store or Store(settings.cache, self.progress)
        self.store.sweep()  # before this process is a user of the store itself
        self.store.hold()
        self.lock = PackageLock(settings.lock, update=settings.refresh) if settings.lock else None
        self.debian = Debian(
            self.store,
            suite=settings.suite,
            mirror=settings.mirror,
            keyring=settings.keyring,
            offline=settings.offline,
            refresh=settings.refresh,
            lock=self.lock,
            progress=self.progress,
        )
        self._guest = _guest_digest()

    def build_all(self, spec: ImageSpec, arches: Iterable[Arch], *, read: bool = False) -> list[Image]:
        """Build `spec` for every architecture, side by side; the first error is raised when all have ended.

        Of an image that is there already no byte is read unless `read` says that the caller will: what boots it
        compares them with its manifest.
        """
        inputs = [self.inputs(spec, arch) for arch in arches]
        keys = [self.key(one) for one in inputs]
        if not all(self.store.looks_sound("images", key) for key in keys):
            self._together.run([partial(self._build, *pair) for pair in zip(inputs, keys, strict=True)])
        images = [self._build(*pair, read=read) for pair in zip(inputs, keys, strict=True)]
        self.save_lock()
        return images

    def build(self, spec: ImageSpec, arch: Arch, format_: str = "") -> Image:
        """Build `spec` for one architecture, or return what the cache has; `format_` in the place of the settings'."""
        inputs = self.inputs(spec, arch, format_)
        return self._build(inputs, self.key(inputs))

    def save_lock(self) -> None:
        """Write the lock, when there is one to write."""
        if self.lock and not self.lock.honoured:
            self.lock.save()

    def inputs(self, spec: ImageSpec, arch: Arch, format_: str = "") -> Inputs:
        """Collect what the image is made of. UserError where the architecture has no such format."""
        format_ = _format(format_ or self.settings.format)
        loaders, first = _loaders(format_, arch)
        if PROBE_COMPONENT in spec.components:
            components = spec.components
        else:
            components = {**spec.components, PROBE_COMPONENT: self._probe}
        named = (one for one in dict.fromkeys(spec.references) if kind_of(one) == "oci")
        images = {one: self.images.digests(one, arch, spec.sources[0].parent) for one in named}
        layouts = {
            volume.name: [self.images.digests(volume.image, one, spec.sources[0].parent) for one in arches]
            for volume, arches in volumes_of(spec, arch)
        }
        own = for_arch(spec, arch)
        return Inputs(own, arch, components, self.settings.compression, images, layouts, format_, loaders, first)

    @cached_property
    def images(self) -> Images:
        """The OCI images that specs may name."""
        from harness.oci import registries
        from harness.oci.fetch import Images  # a build without any must start quickly

        wish = self.settings
        return Images(
            self.store,
            registries=partial(registries.find, wish.registry, wish.registries_conf),
            offline=wish.offline,
            refresh=wish.refresh,
            lock=self.lock,
            progress=self.progress,
            alive=self._together.check,
        )

    @cached_property
    def _probe(self) -> ComponentSpec:
        # each architecture asks for the same one
        return load_component(library()[PROBE_COMPONENT])

    def key(self, inputs: Inputs) -> str:
        """Return the name of the image in the store: a digest over everything its bytes depend on."""
        resolutions = [
            self.debian.resolve(packages_of(component, inputs.arch), inputs.arch).digest
            for component in inputs.components.values()
        ]
        spec = inputs.spec
        sources = [(file.source, host_file(file.source, spec.sources[0])) for file in spec.files if file.source]
        return digest_of(
            {
                "version": [versions.IMAGE, versions.ROOT, versions.LAYER, versions.OCI_LAYER, versions.KERNEL],
                "guest": self._guest,
                "name": spec.name,
                "spec": spec.digest,
                "sources": [(name, file_digest(path) if path.is_file() else "") for name, path in sources],
                "arch": inputs.arch.name,
                "components": [(name, component.digest) for name, component in inputs.components.items()],
                "suite": self.settings.suite,
                "packages": resolutions,
                "loaders": self.debian.resolve(inputs.loaders, inputs.arch).digest if inputs.loaders else "",
                "images": [inputs.images, inputs.layouts],
                "compression": inputs.compression,
                "format": [inputs.format, *inputs.first],
            }
        )

    def _build(self, inputs: Inputs, key: str, *, read: bool = False) -> Image:
        return Image(self.store.make("images", key, lambda folder: self._make(inputs, folder), unread=not read))

    def _kernel(
        self, inputs: Inputs, image: OciImage | None, limits: Limits, modules: Mapping[str, str]
    ) -> KernelFiles:
        from harness.build import kernel, kernelimage

        wish, arch, first = inputs.spec.kernel, inputs.arch, inputs.first
        if image is None:
            return kernel.make_kernel(inputs.components[wish.image], arch, self.debian, self.store, modules, first)
        return kernelimage.make_kernel(image, wish, arch, limits, self.store, modules, first)

    def _make(self, inputs: Inputs, folder: Path) -> None:
        # heavy modules only when something is really built: a build of nothing must be quick
        from harness.build import attestations, copyrights, manifest, outputs
        from harness.build.expectations import expectations
        from harness.build.files import own_files
        from harness.build.images import interface_modules, judge, make_part, record
        from harness.build.layer import make_layer
        from harness.build.media.loaders import make_loaders
        from harness.build.modules import spelled
        from harness.build.programs import judge_programs, named_modules
        from harness.build.root import make_root
        from harness.build.rootfs import assemble
        from harness.oci.layers import Limits
        from harness.oci.volume import layout
        from harness.tree.tree import Tree, read_layer

        spec, arch = inputs.spec, inputs.arch
        images = {one: self.images.fetch(one, arch, spec.sources[0].parent, files_only=True) for one in inputs.images}
        limits = Limits.of(self.settings.oci_limit)
        layers: dict[str, Layer] = {}
        for reference, component in inputs.layers.items():
            self.progress(f"{spec.name} {arch.name}: {reference}")
            layers[reference] = make_layer(component, arch, self.debian, self.store)
        parts = {reference: _part(inputs.components[reference], layer) for reference, layer in layers.items()}
        for reference in dict.fromkeys(one for one in spec.references[1:] if one in images):
            self.progress(f"{spec.name} {arch.name}: {reference}")
            parts[reference] = make_part(images[reference], limits, self.store, self._together.check, self.progress)
        judge(spec, parts, images)
        judge_programs(spec, parts, arch)
        self.progress(f"{spec.name} {arch.name}: kernel")
        asked = interface_modules(spec, parts) | modules_of(inputs)
        # an OCI image's kernel comes with all of its modules
        more = asked if spec.kernel.image in images else {**named_modules(spec, parts), **carried_of(inputs), **asked}
        kernel = self._kernel(inputs, images.get(spec.kernel.image), limits, more)
        held = {
            volume.name: [self.images.fetch(volume.image, one, spec.sources[0].parent) for one in arches]
            for volume, arches in volumes_of(spec, arch)
        }
        self.progress(f"{spec.name} {arch.name}: root filesystem")
        bare = spec.kernel.tar == "none"
        modules = Tree() if bare else read_layer(kernel.modules)
        layouts = {name: layout(found, self.store) for name, found in held.items()}
        loads = [] if bare else [name for name in kernel.loads if name in set(map(spelled, asked))]
        root = assemble(spec, arch, parts, modules, loads, layouts)
        for who, source in root.made_up:
            self.progress(
                f"{spec.name} {arch.name}: {who} binds {source}, which nothing brings: it will be empty there"
            )
        made = make_root(root.tree, inputs.compression, self.store)
        busybox = parts[PROBE_COMPONENT].tree.get("usr/bin/busybox")
        assert busybox is not None and busybox.content is not None
        loaders = make_loaders(inputs.loaders, arch, self.debian, self.store)
        output = outputs.find(inputs.format).make(
            outputs.OutputParts(
                arch=arch,
                root=made,
                kernel=kernel.kernel,
                first_stage=outputs.FirstStage(kernel.stage1, kernel.ucode or _ucode(inputs), bare=not root.ours),
                probe=outputs.ProbeParts(kernel.probe, busybox.content.read()),
                cmdline=spec.kernel.cmdline,
                loaders=loaders,
            ),
            folder,
        )
        used = spec.references
        facts = {
            "name": spec.name,
            "arch": arch.name,
            "format": inputs.format,
            "spec": {"files": [path.name for path in spec.sources], "sha256": spec.digest},
            "cmdline": spec.kernel.cmdline,
            "kernel": kernel.version,
            "init": OWN_INIT if root.ours else "image",
            "compression": inputs.compression,
            "suite": self.settings.suite,
            "expect": expectations(spec, parts),
            "acts": acts_of(spec, library()),
            **({"end": spec.expect.model_dump(mode="json")} if spec.expect else {}),
            "images": [
                *(record(image, parts.get(reference)) for reference, image in images.items()),
                *(record(image) for image in chain(*held.values())),
            ],
            "own_files": own_files(spec, root.tree),
            "substitutions": [one.model_dump(mode="json") for one in spec.substitutions],
        }
        packages = manifest.package_rows(
            [
                (kernel.packages, True),
                (loaders.packages, True),
                *((layers[name].packages, name in used) for name in layers),
            ]
        )
        brought = {reference: part.packages for reference, part in parts.items()}
        brought[spec.kernel.image] = _brought(kernel.packages)
        copyrights.gather(
            [kernel.path, *filter(None, [loaders.path]), *(layers[name].path for name in layers if name in used)],
            folder,
        )
        attestations.gather((*images.values(), *chain(*held.values())), folder)
        data = manifest.make(facts, folder, output, made.squashfs, root, brought, packages)
        (folder / MANIFEST).write_text(json.dumps(data, indent=1) + "\n")


def _format(name: str) -> str:
    """Return a format's own name; UserError where there is none of that name."""
    if name == Settings.format:
        return name
    from harness.build import outputs

    return outputs.find(name).FORMAT


def _loaders(format_: str, arch: Arch) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the packages of a format's boot loader, and its first stage's modules; the usual one needs none."""
    if format_ == Settings.format:
        return (), ()
    from harness.build import outputs

    return outputs.loader_packages(format_, arch), outputs.first_modules(format_)


def _ucode(inputs: Inputs) -> Path | None:
    kernel = inputs.spec.kernel
    component = inputs.components.get(kernel.image)
    wanted = kernel.ucode and inputs.arch.ucode
    return ucode_file(component, kernel.ucode or "") if wanted and component else None


def volumes_of(spec: ImageSpec, arch: Arch) -> list[tuple[Volume, list[Arch]]]:
    """Return the volumes that hold an OCI layout, each with the architectures that are in it: `arch` unless said."""
    platforms = {f"linux/{one.oci}": one for one in ARCHES.values()}
    return [
        (volume, [platforms[text] for text in dict.fromkeys(volume.platforms)] or [arch])
        for volume in spec.volumes
        if volume.format == "oci"
    ]


def modules_of(inputs: Inputs) -> dict[str, str]:
    """Return the kernel modules that an image's components need, each with the first component that names it."""
    return _asked(inputs, lambda component: component.modules)


def carried_of(inputs: Inputs) -> dict[str, str]:
    """Return those that they want carried and not loaded, likewise."""
    return _asked(inputs, lambda component: component.carries)


def _asked(inputs: Inputs, names: Callable[[ComponentSpec], Iterable[str]]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for layer in (inputs.layers[one] for one in inputs.spec.references if one in inputs.layers):
        for name in names(layer):
            asked.setdefault(name, layer.name)
    return asked


def packages_of(component: ComponentSpec, arch: Arch) -> tuple[str, ...]:
    """Return the packages that a component names for one architecture; a kernel's default is the table's."""
    named = (*component.packages, *component.packages_for.get(arch.name, ()))
    return named or ((arch.kernel_package,) if component.kernel else ())


def _part(component: ComponentSpec, layer: Layer) -> ResolvedImage:
    from harness.build.rootfs import ResolvedImage
    from harness.tree.tree import read_layer

    return ResolvedImage(
        reference=component.name,
        tree=read_layer(layer.tar, shared=True),
        config=component.config,
        packages=_brought(layer.packages),
        guest=component.guest,
    )


def _brought(packages: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(row["name"]) for row in packages if row["files"])


def _guest_digest() -> str:
    files = sorted(path for path in paths.GUEST.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return digest_of([(str(path.relative_to(paths.GUEST)), file_digest(path), executable(path)) for path in files])
