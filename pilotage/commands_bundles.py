"""`pilotage bundle …` and `pilotage pipelines`: a community's own commands, made, published, put into use."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import click

from pilot.errors import InvalidInput, PilotageError
from pilot.pipelines import BundleView
from pilotage import bundles, words
from pilotage.bundles import Built
from pilotage.rendering_pipelines import bundles_table, commands_table, pipelines_table
from pilotage.shell import Shell, common

_PATH = click.Path(path_type=Path)
_COMMUNITY = click.option("--community", help="For operators; others act for their own.")


@click.group()
def bundle() -> None:
    """Make, publish and choose bundles of your community's own commands.

    \b
    From a folder of Python modules to pilots that run them:
      pilotage bundle keygen my.key       and the public key into bundle_keys of the central's settings
      pilotage bundle build my-commands
      pilotage bundle publish my-commands.zip --key my.key
    """


@bundle.command()
@click.argument("file", type=_PATH)
@common
def keygen(shell: Shell, file: Path) -> None:
    """Make the key that your community signs its bundles with.

    \b
    Example:
      pilotage bundle keygen physics.key
    """
    public = _signing().make_key(file)
    if shell.screen.json:
        shell.screen.data({"key": str(file), "public": public})
        return
    shell.screen.line(f"{file} is the private key: keep it, and show it to nobody")
    shell.screen.line("an operator puts the public key into the central's settings:")
    shell.screen.line(f'  bundle_keys = ["{public}"]')


@bundle.command()
@click.argument("source", type=_PATH, metavar="FOLDER")
@click.option("--name", default="", help="What it is called.  [default: as the folder]")
@click.option("--output", type=_PATH, help="Where to.  [default: NAME.zip]")
@common
def build(shell: Shell, source: Path, name: str, output: Path | None) -> None:
    """Make a bundle of a folder of modules. They are imported, in a process of their own.

    \b
    Example:
      pilotage bundle build my-commands
    """
    built = bundles.build(source, name)
    output = output or Path(f"{built.manifest.name}.zip")
    output.write_bytes(built.content)
    _show(shell, built, output)


@bundle.command()
@click.argument("file", type=_PATH)
@common
def check(shell: Shell, file: Path) -> None:
    """Look whether a bundle is one that a central takes, and what is in it. Nothing of it is run.

    \b
    Example:
      pilotage bundle check my-commands.zip
    """
    _show(shell, bundles.read(file), file)


@bundle.command()
@click.argument("file", type=_PATH)
@click.option("--key", type=_PATH, required=True, help="What `keygen` made.")
@click.option("--no-use", is_flag=True, help="Only hand it over: `pin` puts it into use.")
@_COMMUNITY
@common
def publish(shell: Shell, file: Path, key: Path, no_use: bool, community: str | None) -> None:
    """Sign a bundle and hand it to the central; pilots that enrol from now on get it.

    \b
    Example:
      pilotage bundle publish my-commands.zip --key physics.key
    """
    signing, built = _signing(), bundles.read(file)
    with shell.client() as client:
        whose = community or client.whoami().community
        signature = signing.sign(key, whose, built)
        view = client.publish_bundle(
            built.manifest.name, built.sha256, built.content, signature, use=not no_use, community=community
        )
    if shell.screen.json:
        shell.screen.data(view)
        return
    use = "pilots that enrol from now on get it" if view.in_use else "it is not in use yet"
    shell.screen.line(f"published {view.name} {view.sha256[:12]} for {view.community}: {use}")


@bundle.command("list")
@common
def listed(shell: Shell) -> None:
    """List the bundles, and which of them are in use.

    \b
    Example:
      pilotage bundle list
    """
    with shell.client() as client:
        found = client.bundles()
    if shell.screen.json:
        shell.screen.data({"bundles": found})
        return
    shell.screen.table(bundles_table(found))
    if not found:
        shell.screen.note("no bundle has been published")


@bundle.command()
@click.argument("name")
@click.argument("sha256")
@_COMMUNITY
@common
def pin(shell: Shell, name: str, sha256: str, community: str | None) -> None:
    """Put a published bundle into use. The first digits of its SHA-256 are enough.

    \b
    Example:
      pilotage bundle pin my-commands 3f9a12bc
    """
    with shell.client() as client:
        whole = _whole(client.bundles(), name, sha256, community)
        client.pin_bundle(name, whole, community=community)
    _told(shell, name, whole)


@bundle.command()
@click.argument("name")
@_COMMUNITY
@common
def rollback(shell: Shell, name: str, community: str | None) -> None:
    """Put into use what was before.

    \b
    Example:
      pilotage bundle rollback my-commands
    """
    with shell.client() as client:
        sha256 = client.roll_back_bundle(name, community=community)
    _told(shell, name, sha256)


@click.command()
@common
def pipelines(shell: Shell) -> None:
    """Say which commands the pilots of each queue run, and why they could not.

    \b
    Example:
      pilotage pipelines
    """
    with shell.client() as client:
        found = client.pipelines()
    if shell.screen.json:
        shell.screen.data({"pipelines": found})
        return
    shell.screen.table(pipelines_table(found))
    for each in found:
        for problem in each.problems:
            shell.screen.note(f"{each.queue}: {problem}")


def _signing() -> ModuleType:
    """What makes keys and signatures. Raises `PilotageError` where it is not installed."""
    try:
        from pilotage import signing
    except ImportError as error:
        raise PilotageError(
            f"Keys need the package cryptography: pip install 'pilotage[central]' ({error})."
        ) from error
    return signing


def _show(shell: Shell, built: Built, file: Path) -> None:
    if shell.screen.json:
        shell.screen.data({"file": str(file), "sha256": built.sha256, "manifest": built.manifest})
        return
    size = words.size(len(built.content))
    shell.screen.facts(
        [("bundle", built.manifest.name), ("file", f"{file}, {size}"), ("sha256", built.sha256)],
    )
    shell.screen.line()
    shell.screen.table(commands_table(built.manifest.commands))


def _told(shell: Shell, name: str, sha256: str) -> None:
    if shell.screen.json:
        shell.screen.data({"name": name, "sha256": sha256})
    else:
        shell.screen.line(f"pilots that enrol from now on get {name} {sha256[:12]}")


def _whole(found: tuple[BundleView, ...], name: str, text: str, community: str | None) -> str:
    """The digest that begins so. Raises `PilotageError` unless exactly one bundle of that name has it."""
    if len(text) < 4:
        raise InvalidInput("SHA256", f"expected at least 4 of its digits, got {text!r}")
    fits = {
        view.sha256
        for view in found
        if view.name == name and view.sha256.startswith(text) and community in (None, view.community)
    }
    if len(fits) != 1:
        raise PilotageError(f"{len(fits) or 'No'} bundles {name} begin with {text}: `pilotage bundle list` shows them.")
    return fits.pop()
