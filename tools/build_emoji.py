"""Build the emoji data set that ships inside the package: `zoo/data/emoji/emoji.zip`.

Three drawings of every emoji (Noto, Twemoji, Fluent 3D), without skin-tone variants, flattened on
white at 64 x 64 and stored as WebP: a picture is kept without loss where that is no larger. The
files of a style stand one behind another in one member: in a zip of their own names, the names
would take 0.7 MB of the 8. The artwork comes from three pinned npm packages; their licences stand
beside the archive. Two runs with the same Pillow give the same bytes.

    python tools/build_emoji.py                      # fetches the packages with `npm pack`
    python tools/build_emoji.py --packages DIR       # reads tarballs that are already there
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

OUT = Path(__file__).parent.parent / "zoo/data/emoji/emoji.zip"
SIDE, QUALITY, EPOCH = 64, 95, (1980, 1, 1, 0, 0, 0)
MEMBER_LIMIT = 16 << 20
PACKAGES = {  # style -> package, version, tarball, sha512 as the registry states it, folder of the pictures
    "google": ("emoji-datasource-google", "16.0.0", "emoji-datasource-google-16.0.0.tgz", "img/google/64",
               "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="),
    "twitter": ("emoji-datasource-twitter", "16.0.0", "emoji-datasource-twitter-16.0.0.tgz", "img/twitter/64",
                "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ=="),
    "fluent": ("@lobehub/fluent-emoji-3d", "1.1.0", "lobehub-fluent-emoji-3d-1.1.0.tgz", "assets",
               "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g=="),
}  # fmt: skip
CATEGORIES = {
    "Smileys & Emotion": "smileys", "People & Body": "people", "Animals & Nature": "animals",
    "Food & Drink": "food", "Travel & Places": "travel", "Activities": "activities",
    "Objects": "objects", "Symbols": "symbols", "Flags": "flags",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder with the three tarballs; left out: fetched")
    parser.add_argument("--out", type=Path, default=OUT, help="the archive to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.packages or fetch(Path(scratch))
        packages = {style: read_package(folder, style) for style in PACKAGES}
    rows, pictures = collect(packages)
    write(args.out, rows, pictures)
    print(f"{args.out}: {len(rows)} pictures, {args.out.stat().st_size:,} bytes")


def fetch(folder: Path) -> Path:
    """The tarballs, by npm's own client."""
    for name, version, *_ in PACKAGES.values():
        subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True)
    return folder


def read_package(folder: Path, style: str) -> dict[str, bytes]:
    """File name inside the package -> bytes, read from the tarball: nothing is extracted to disk."""
    name, version, tarball, pictures, digest = PACKAGES[style]
    data = (folder / tarball).read_bytes()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != digest:
        raise SystemExit(f"{tarball} is not {name} {version}: its sha512 differs; fetch it again")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            inside = member.name.removeprefix("package/")
            if member.isfile() and member.size <= MEMBER_LIMIT and inside.startswith((pictures, "emoji.json")):
                files[inside] = archive.extractfile(member).read()  # type: ignore[union-attr]
    return files


def collect(packages: dict[str, dict[str, bytes]]) -> tuple[list[list[str]], dict[str, bytes]]:
    """The index rows, in the emoji's own order, and the encoded picture of each."""
    emoji = json.loads(packages["google"]["emoji.json"])
    emoji = sorted((e for e in emoji if e["category"] in CATEGORIES), key=lambda e: e["sort_order"])
    drawn = {(style, e["unified"]): flatten(data) for style in packages for e in emoji
             if (data := picture(packages[style], style, e)) is not None}  # fmt: skip
    side = split_by_code([e["unified"] for e in emoji], drawn)
    rows, pictures = [], {}
    for e in emoji:
        for style in packages:
            if (style, e["unified"]) in drawn:
                name = f"{style}/{e['unified'].lower()}.webp"
                pictures[name] = encode(drawn[style, e["unified"]])
                kind = CATEGORIES[e["category"]], e["subcategory"]
                rows.append([name, e["unified"], *kind, short(e), side[e["unified"]]])
    return rows, pictures


def picture(files: dict[str, bytes], style: str, emoji: dict) -> bytes | None:
    """The picture of one emoji; Fluent leaves out some code points and some variation selectors."""
    if style != "fluent":
        return files[f"{PACKAGES[style][3]}/{emoji['image']}"]
    code = emoji["unified"].lower()
    tries = [code, code.replace("-fe0f", ""), f"{code}-fe0f", (emoji["non_qualified"] or code).lower()]
    return next((files[n] for t in tries if (n := f"assets/{t}.webp") in files), None)


def short(emoji: dict) -> str:
    """`flag-fr` rather than `fr`, so that one pattern finds all the flags of countries."""
    return next((n for n in emoji["short_names"] if n.startswith("flag-")), emoji["short_name"])


def flatten(data: bytes) -> Image.Image:
    """On white first, then smaller: transparent pixels may hold any colour."""
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)


def encode(image: Image.Image) -> bytes:
    lossy, exact = io.BytesIO(), io.BytesIO()
    image.save(lossy, "WEBP", quality=QUALITY, method=6)
    image.save(exact, "WEBP", lossless=True, quality=75, method=4)
    return min(exact.getvalue(), lossy.getvalue(), key=len)


def split_by_code(codes: list[str], drawn: dict[tuple[str, str], Image.Image]) -> dict[str, str]:
    """A tenth of the code points, by hash, is for validation, in every style.

    Code points that some style draws alike (the flags of France and Saint Martin) share a side,
    so no training picture is a validation picture.
    """
    head = {code: code for code in codes}
    first: dict[tuple[str, bytes], str] = {}

    def root(code: str) -> str:
        return code if head[code] == code else root(head[code])

    for (style, code), image in drawn.items():
        other = first.setdefault((style, image.tobytes()), code)
        low, high = sorted((root(code), root(other)))
        head[high] = low
    digest = {code: int(hashlib.sha256(root(code).encode()).hexdigest(), 16) for code in codes}
    return {code: "val" if digest[code] % 10 == 0 else "train" for code in codes}


def write(out: Path, rows: list[list[str]], pictures: dict[str, bytes]) -> None:
    """A member `index.json`, whose rows say how many bytes a picture has, and one a style, in the order of the rows."""
    columns = ["name", "unified", "category", "subcategory", "short_name", "split", "bytes"]
    sized = [[*row, len(pictures[row[0]])] for row in rows]
    index = {"styles": list(PACKAGES), "categories": list(CATEGORIES.values()), "columns": columns, "rows": sized}
    with zipfile.ZipFile(out, "w") as archive:
        text = json.dumps(index, separators=(",", ":"))
        archive.writestr(member("index.json"), text, zipfile.ZIP_DEFLATED, 9)
        for style in PACKAGES:
            drawn = b"".join(data for name, data in pictures.items() if name.startswith(f"{style}/"))
            archive.writestr(member(f"{style}.webps"), drawn, zipfile.ZIP_STORED)


def member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.create_system, info.external_attr = 3, 0o644 << 16
    return info


if __name__ == "__main__":
    main()
