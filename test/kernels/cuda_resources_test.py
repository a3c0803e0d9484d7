#!/usr/bin/env python3
"""No kernel may spill registers or keep an array in local memory: both cost trips to device memory in inner loops.

The compiler says so itself: every function of the machine code has a record of its stack frame (EIATTR_FRAME_SIZE, number
0x11, of the sections .nv.info, as `cuobjdump --dump-elf` names it), and whatever spills has a frame. The records are read
from the module as it was built, for every architecture in it. The format is NVIDIA's own, so the test first has ptxas
assemble a kernel with a frame and one without, and compares what it reads with what `ptxas -v` says of them.

usage: cuda_resources_test.py MODULE PTXAS      exits 77 (skipped) where the module has no machine code
"""
import collections
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
CUDA_MACHINE, FRAME_SIZE, SIZED = 190, 0x11, 4  # ELF's e_machine; the attribute; the form of attribute that has a payload
SYMBOLS = 2  # ELF's SHT_SYMTAB
# (architecture, parts of the kernel's name): bytes. Where nvcc 13.0, which keeps this kernel within the 128 registers with
# which two blocks fit on a multiprocessor, spills 16 bytes; on the other architectures it does not.
ALLOWED = {(100, ("gemm_fp32", "product_kernelILi8ELb1ELb0E")): 16}

SAMPLE = """.version 7.0
.target sm_80
.address_size 64
.visible .entry frame(.param .u64 to, .param .u32 index) {
  .local .align 4 .b8 values[64];
  .reg .b32 %r<3>; .reg .b64 %a<5>;
  ld.param.u64 %a1, [to]; ld.param.u32 %r1, [index]; cvta.to.global.u64 %a2, %a1;
  mov.u64 %a3, values; mul.wide.u32 %a4, %r1, 4; add.s64 %a3, %a3, %a4;
  st.local.u32 [%a3], %r1; ld.local.u32 %r2, [values+8]; st.global.u32 [%a2], %r2; ret;
}
.visible .entry none(.param .u64 to) {
  .reg .b32 %r<2>; .reg .b64 %a<3>;
  ld.param.u64 %a1, [to]; cvta.to.global.u64 %a2, %a1; mov.u32 %r1, 3; st.global.u32 [%a2], %r1; ret;
}
"""
Section = collections.namedtuple("Section", "name type flags address offset size link info align entry")


def text_at(image, at):
    return image[at:image.index(b"\0", at)].decode()


def frames(image):
    """{function: bytes of its stack frame} of one ELF image of machine code; ValueError where a kernel has no record."""
    (table,) = struct.unpack_from("<Q", image, 40)
    size, count, names = struct.unpack_from("<HHH", image, 58)
    sections = [Section(*struct.unpack_from("<IIQQQQIIQQ", image, table + i * size)) for i in range(count)]
    name = lambda section: text_at(image, sections[names].offset + section.name)
    (symbols,) = (section for section in sections if section.type == SYMBOLS)
    found = {}
    for section in sections:
        if name(section) != ".nv.info":
            continue
        at, end = section.offset, section.offset + section.size
        while at < end:
            form, attribute, length = struct.unpack_from("<BBH", image, at)
            if form == SIZED and attribute == FRAME_SIZE:
                symbol, frame = struct.unpack_from("<II", image, at + 4)
                (start,) = struct.unpack_from("<I", image, symbols.offset + symbol * symbols.entry)
                found[text_at(image, sections[symbols.link].offset + start)] = frame
            at += 4 + (length if form == SIZED else 0)
    kernels = {name(section).removeprefix(".text.") for section in sections if name(section).startswith(".text.")}
    if not kernels or kernels - found.keys():
        raise ValueError(f"no record of the frame of {sorted(kernels - found.keys()) or 'any kernel'}")
    return found


def architecture(image):
    """Such as 90 for sm_90."""
    (flags,) = struct.unpack_from("<I", image, 48)
    return flags >> 8 & 0xFF if image[8] >= 8 else flags & 0xFF  # moved up with version 8 of the format (CUDA 13)


def images(data):
    """The images of machine code in a file, each from its beginning."""
    for match in re.finditer(b"\x7fELF\x02\x01", data):
        if struct.unpack_from("<H", data, match.start() + 18)[0] == CUDA_MACHINE:
            yield data[match.start():]


def check_reader(ptxas):
    """The reader against ptxas's own words."""
    with tempfile.TemporaryDirectory() as folder:
        source, code = pathlib.Path(folder, "sample.ptx"), pathlib.Path(folder, "sample.cubin")
        source.write_text(SAMPLE)
        run = subprocess.run([ptxas, "-v", "-arch=sm_90", source, "-o", code], capture_output=True, text=True, check=True)
        stated = re.findall(r"Function properties for (\w+)\s+(\d+) bytes stack frame", run.stdout + run.stderr)
        stated = {function: int(frame) for function, frame in stated}
        image = code.read_bytes()
    found = frames(image)
    print(f"frames of the sample: ptxas states {stated}, read {found}")
    return architecture(image) == 90 and stated == found and stated.keys() == {"frame", "none"} and stated["frame"] > stated["none"] == 0


def main():
    module, ptxas = sys.argv[1:]
    if not check_reader(ptxas):
        print("FAILED: what is read from machine code is not what ptxas states: has its format changed?")
        sys.exit(1)
    functions, wrong = 0, []
    for image in images(pathlib.Path(module).read_bytes()):
        target = architecture(image)
        for function, frame in frames(image).items():
            functions += 1
            limit = max((size for (sm, parts), size in ALLOWED.items() if sm == target and all(p in function for p in parts)), default=0)
            if frame > limit:
                wrong.append(f"FAILED: sm_{target}: {function}: a stack frame of {frame} bytes, at most {limit}")
    if functions == 0:
        print(f"skipped: no uncompressed machine code in {module}")
        sys.exit(SKIPPED)
    print("\n".join(wrong + [f"{functions} functions, {len(wrong)} with a stack frame that is not stated"]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
