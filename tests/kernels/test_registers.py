"""The sums of the block of a tile stay in registers, by the assembly for machines that are not at hand too."""

import re

import pytest
from llvmlite import binding, ir

from fastsil.kernels import micro

X86, ARM, APPLE = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-darwin"
MACHINES = [
    ("AVX-512", X86, "skylake-avx512", "+avx,+avx2,+avx512f"),
    ("AVX2", X86, "haswell", "+avx,+avx2"),
    ("AVX", X86, "sandybridge", "+avx"),
    ("no AVX", X86, "x86-64", "+sse2"),
    ("NEON", ARM, "generic", "+neon"),
    ("Graviton", ARM, "neoverse-n1", "+neon"),
    ("Apple silicon", APPLE, "apple-m1", "+neon"),
]


def assembly_of(triple, cpu, element, block, monkeypatch):
    """Compile the block as a function of its own; None if this LLVM has no such target."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple(triple)
    except RuntimeError:
        return None
    vector_bytes, rows = block
    monkeypatch.setattr(micro, "MICRO_ROWS", rows)
    module = ir.Module()
    module.triple = triple
    pointer = element.as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, ir.IntType(64), pointer]), "block")
    builder = ir.IRBuilder(function.append_basic_block())
    lanes = vector_bytes // (4 if element == ir.FloatType() else 8)
    micro._emit_add_products(builder, element, lanes, *function.args)
    builder.ret_void()
    compiled = binding.parse_assembly(str(module))
    machine = target.create_target_machine(cpu=cpu, opt=3)
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(compiled, passes)
    return machine.emit_assembly(compiled)


def loop_of(assembly):
    """From its label to the jump there."""
    (loop,) = re.findall(r"^(\.?L?BB\w+):(.*?)^\s+(?:j\w+|b\.\w+)\s+\1\b", assembly, re.MULTILINE | re.DOTALL)
    return loop[1]


@pytest.mark.parametrize("element", [ir.FloatType(), ir.DoubleType()], ids=str)
@pytest.mark.parametrize(("triple", "cpu", "features"), [row[1:] for row in MACHINES], ids=[row[0] for row in MACHINES])
def test_no_sum_leaves_its_register(triple, cpu, features, element, monkeypatch):
    block = micro.choose_block(features, "x86_64" if triple == X86 else "arm64")
    assembly = assembly_of(triple, cpu, element, block, monkeypatch)
    if assembly is None:
        pytest.skip("this LLVM compiles for its own machine only")
    loop = loop_of(assembly)
    products = re.findall(r"^\s+(?:vfmadd|fmla|v?mulp[sd])", loop, re.MULTILINE)
    assert len(products) >= micro.MICRO_VECTORS * block[1]
    assert not re.findall(r"\b[re]?sp\b", loop)


def test_a_block_that_is_too_large_is_seen(monkeypatch):
    assembly = assembly_of(X86, "x86-64", ir.FloatType(), (32, 6), monkeypatch)
    if assembly is None:
        pytest.skip("this LLVM compiles for its own machine only")
    assert re.findall(r"\b[re]?sp\b", loop_of(assembly))
