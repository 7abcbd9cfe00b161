"""Cut a Khronos registry down to one feature set: ``python cut_registry.py gl.xml gles2 2.0 > cut.xml``.

How ``gles2.xml`` and ``egl.xml`` here were made. A cut keeps the copyright and licence of the
original (Apache-2.0; egl.xml: the notice at its head) and nothing that its features do not require.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree


def cut(path: str, api: str, version: str) -> str:
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser).getroot()
    features = [
        f for f in root.iter("feature") if f.get("api") == api and f.get("number") <= version
    ]
    names = {e.get("name") for f in features for r in f.iter("require") for e in r}
    for container in list(root):
        if container.tag == "feature" and container in features:
            continue
        notice = container.tag is ElementTree.Comment and "Copyright" in (container.text or "")
        if container.tag == "comment" or notice:
            continue
        if container.tag == "enums":
            for item in list(container):
                if item.get("name") not in names or item.get("api", api) != api:
                    container.remove(item)
        elif container.tag == "commands":
            for item in list(container):
                if item.findtext("proto/name") not in names:
                    container.remove(item)
                for extra in [
                    *item.iterfind("glx"),
                    *item.iterfind("alias"),
                    *item.iterfind("vecequiv"),
                ]:
                    item.remove(extra)
        if container.tag not in ("enums", "commands") or not len(container):
            root.remove(container)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


if __name__ == "__main__":
    sys.stdout.write(cut(*sys.argv[1:]))
