import Foundation
import Testing

@testable import Kernels

/// The machine code of this program's kernels, as objdump shows it: what the compiler made of them for the
/// CPU that this build is for.
///
/// A product whose sums do not fit the registers, or that falls apart into single lanes, is right and
/// slow; no other test sees it.
@Suite("machine code", .enabled(if: Disassembly.isPossible, "wants x86-64, objdump, no sanitizer"))
struct MachineCodeTests {
    private let functions: [Disassembly.Function]

    /// None in a build for CPUs without fused multiply-adds, which calls a function for each.
    init() throws {
        let all = try Disassembly.kernels()
        functions = all.contains { $0.instructions.contains(where: \.isFused) } ? all : []
    }

    /// Every kernel that is a product, by a part of its symbol.
    private static var products: [String] {
        // With registers of 256 bits Winograd's products are tile products.
        let winograd = registersAreWide ? ["multiplyRows", "WinogradWeightPass"] : []
        return winograd + [
            "7Kernels4Pass", registersAreWide ? "TileTree" : "WeightGradients", "DepthwisePass",
            "DepthwiseBackwardWeights",
            "DirectForward", "DirectBackwardData", "DirectBackwardWeights",
            "PooledBackwardWeights",
        ]
    }

    /// Winograd's transforms hold up to 36 vectors. Where registers are of 256 bits, nine sums of
    /// `PooledChannelWeights` and four masked gradients are too many, too: 21 of its loop's 106
    /// instructions move vectors.
    private static func holdsMore(_ function: String) -> Bool {
        function.contains("ransform") || function.contains("WinogradForward")
            || !registersAreWide && function.contains("PooledChannelWeights")
    }

    @Test("loops of products keep their sums in registers")
    func registers() {
        let loops = functions.filter { !Self.holdsMore($0.name) }.flatMap(\.innermostLoops)
            .filter { $0.fused >= 5 && 3 * $0.fused >= $0.instructions.count }
        for loop in loops {
            let spilled = loop.instructions.filter(\.movesVectorOnStack)
            #expect(
                spilled.isEmpty,
                "\(loop.function): \(spilled.count) of \(loop.instructions.count) instructions")
        }
        let found = Set(loops.map(\.function))
        for product in Self.products where !functions.isEmpty {
            #expect(found.contains { $0.contains(product) }, "no loop of \(product) was found")
        }
    }

    @Test("loops of vectors compute nothing lane by lane")
    func lanes() {
        let loops = functions.flatMap(\.innermostLoops).filter { $0.fused >= 4 }
        #expect(functions.isEmpty || loops.count > 50)
        for loop in loops {
            let scalar = loop.instructions.filter(\.isScalarArithmetic)
            #expect(scalar.isEmpty, "\(loop.function): \(scalar.map(\.name))")
        }
    }

    @Test("no kernel calls C's mathematics, whose bits differ between libraries")
    func library() {
        let mathematics = [
            "exp", "exp2", "expm1", "log", "log2", "log1p", "pow", "sin", "cos", "tan", "tanh",
            "fma", "cbrt", "hypot", "fmod", "remainder", "erf",
        ]
        let names = Set(mathematics + mathematics.map { $0 + "f" })
        // But for the readable forms, which nothing but tests call.
        for function in functions where !function.name.contains("Reference") {
            let called = function.instructions.compactMap(\.called).filter(names.contains)
            #expect(called.isEmpty, "\(function.name) calls \(called)")
        }
    }

    @Test("what the tests above look for is found where it is")
    func parser() throws {
        let text = """
            0000000000001000 <$s7Kernels4Pass3run>:
                1000:\tvxorps %xmm0,%xmm0,%xmm0
                1004:\tvmovups (%rsi),%ymm1
                1008:\tvfmadd231ps %ymm1,%ymm2,%ymm0
                100d:\tvmovaps %ymm3,0x40(%rsp)
                1013:\tvfmadd231ss (%rdi),%xmm4,%xmm5
                1018:\tmov    -0x28(%rbp),%rax
                101c:\tjne    1004 <$s7Kernels4Pass3run+0x4>
                1020:\tcall   2000 <fmaf@plt>
                1025:\tjmp    1000 <$s7Kernels4Pass3run>
            """
        let function = try #require(Disassembly.functions(Array(text.utf8)).first)
        #expect(function.name == "$s7Kernels4Pass3run")
        #expect(function.instructions.count == 9)
        let loop = try #require(function.innermostLoops.first)
        #expect(function.innermostLoops.count == 1)
        #expect(loop.instructions.count == 6 && loop.fused == 1)
        #expect(loop.instructions.filter(\.movesVectorOnStack).count == 1)
        #expect(loop.instructions.filter(\.isScalarArithmetic).map(\.name) == ["vfmadd231ss"])
        #expect(function.instructions.compactMap(\.called) == ["fmaf"])
    }
}

/// What objdump says of this program.
private enum Disassembly {
    struct Instruction {
        let address: Int
        let name: String
        let operands: String

        /// Whole vectors of multiply-adds.
        var isFused: Bool {
            (name.hasPrefix("vfm") || name.hasPrefix("vfnm"))
                && (name.hasSuffix("ps") || name.hasSuffix("pd"))
        }

        var isScalarArithmetic: Bool {
            (name.hasSuffix("ss") || name.hasSuffix("sd"))
                && ["vfm", "vfnm", "vadd", "vsub", "vmul", "vdiv"].contains(where: name.hasPrefix)
        }

        var movesVectorOnStack: Bool {
            (operands.contains("(%rsp") || operands.contains("(%rbp"))
                && ["%xmm", "%ymm", "%zmm"].contains(where: operands.contains)
        }

        /// Where a jump goes to.
        var target: Int? {
            guard name.hasPrefix("j") else { return nil }
            return Int(operands.prefix { $0.isHexDigit }, radix: 16)
        }

        /// The function of another library that is called, in the last place, too.
        var called: String? {
            guard name.hasPrefix("call") || name == "jmp", operands.hasSuffix("@plt>") else {
                return nil
            }
            return operands.split(separator: "<").last.map { String($0.dropLast(5)) }
        }
    }

    struct Loop {
        let function: String
        let instructions: ArraySlice<Instruction>

        var fused: Int { instructions.count(where: \.isFused) }
    }

    struct Function {
        let name: String
        var instructions: [Instruction] = []

        /// From the target of a jump backwards to the jump, where no such loop lies inside.
        var innermostLoops: [Loop] {
            let places = Dictionary(
                instructions.indices.map { (instructions[$0].address, $0) },
                uniquingKeysWith: { first, _ in first })
            let loops = instructions.indices.compactMap { end -> ClosedRange<Int>? in
                guard instructions[end].name != "jmp", let target = instructions[end].target,
                    let start = places[target], start <= end
                else { return nil }
                return start...end
            }
            return loops.filter { loop in
                !loops.contains {
                    $0 != loop && loop.lowerBound <= $0.lowerBound
                        && $0.upperBound <= loop.upperBound
                }
            }.map { Loop(function: name, instructions: instructions[$0]) }
        }
    }

    static var isPossible: Bool {
        #if arch(x86_64)
            // launch/test sets it for any sanitizer, whose code stands between the kernels' own.
            let isSanitized = ProcessInfo.processInfo.environment["ASAN_OPTIONS"] != nil
            return !isSanitized
                && FileManager.default.isExecutableFile(atPath: "/usr/bin/objdump")
        #else
            return false
        #endif
    }

    /// All functions of the module Kernels in this program.
    static func kernels() throws -> [Function] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/objdump")
        process.arguments = ["-d", "--no-show-raw-insn", "/proc/\(getpid())/exe"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return functions(Array(text))
    }

    /// The functions of the module Kernels in a listing.
    static func functions(_ text: [UInt8]) -> [Function] {
        var functions: [Function] = []
        var isWanted = false
        for line in text.split(separator: UInt8(ascii: "\n")) {
            if line.last == UInt8(ascii: ":"), let start = line.firstIndex(of: UInt8(ascii: "<")) {
                let name = line[start...].dropFirst().dropLast(2)
                isWanted = name.starts(with: "$s7Kernels".utf8)
                if isWanted {
                    functions.append(Function(name: String(decoding: name, as: UTF8.self)))
                }
            } else if isWanted, let instruction = instruction(line) {
                functions[functions.count - 1].instructions.append(instruction)
            }
        }
        return functions
    }

    /// "  address:\tname   operands", or nil for what is none.
    private static func instruction(_ line: ArraySlice<UInt8>) -> Instruction? {
        let parts = String(decoding: line, as: UTF8.self).split(separator: "\t", maxSplits: 1)
        guard parts.count == 2,
            let address = Int(parts[0].drop { $0 == " " }.dropLast(), radix: 16)
        else { return nil }
        let words = parts[1].split(separator: " ", maxSplits: 1)
        return Instruction(
            address: address, name: String(words[0]),
            operands: words.count < 2 ? "" : words[1].trimmingCharacters(in: .whitespaces))
    }
}
