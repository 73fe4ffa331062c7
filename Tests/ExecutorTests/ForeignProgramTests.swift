// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Testing

@testable import Executor

@Suite struct ForeignProgramTests {
    /// The start of an ELF file.
    static func head(_ machine: UInt16, is64: Bool = true, isLittle: Bool = true) -> [UInt8] {
        let high = UInt8(machine >> 8)
        let low = UInt8(machine & 0xff)
        return [0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, isLittle ? 1 : 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            + (isLittle ? [2, 0, low, high] : [0, 2, high, low]) + [UInt8](repeating: 0, count: 40)
    }

    @Test(arguments: [
        (62, true, true, "amd64"), (3, false, true, "386"), (183, true, true, "arm64"), (40, false, true, "arm"),
        (21, true, true, "ppc64le"), (21, true, false, "ppc64"), (22, true, false, "s390x"),
        (243, true, true, "riscv64"), (8, true, true, "mips64le"), (258, true, true, "loong64"),
    ])
    func machines(number: Int, is64: Bool, isLittle: Bool, name: String) {
        #expect(ELFMachine(Self.head(UInt16(number), is64: is64, isLittle: isLittle))?.name == name)
    }

    @Test(arguments: [
        ("amd64", "amd64", true), ("386", "amd64", true), ("amd64", "386", true), ("arm64", "amd64", false),
        ("arm", "arm64", true), ("arm64", "arm", false), ("amd64", "arm64", false), ("s390x", "vax", true),
    ])
    func natives(program: String, host: String, runs: Bool) throws {
        let numbers: [String: (UInt16, Bool, Bool)] = [
            "amd64": (62, true, true), "386": (3, false, true), "arm64": (183, true, true), "arm": (40, false, true),
            "s390x": (22, true, false),
        ]
        let (number, is64, isLittle) = try #require(numbers[program])
        let machine = try #require(ELFMachine(Self.head(number, is64: is64, isLittle: isLittle)))
        #expect(machine.runs(on: host) == runs)
    }

    @Test(arguments: [[], [0x7f, 0x45, 0x4c, 0x46], Array("#!/bin/sh\n".utf8), [UInt8](repeating: 0, count: 64)])
    func noProgram(head: [UInt8]) { #expect(ELFMachine(head) == nil) }

    /// As qemu-user-static registers it.
    static let arm64 = """
        enabled
        interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
        flags: POCF
        offset 0
        magic 7f454c460201010000000000000000000200b700
        mask ffffffffffffff00fffffffffffffffffeffffff

        """

    private func directory(_ handlers: [String: String]) throws -> RawPath {
        let path = try TestContainer.temporaryDirectory()
        for (name, text) in handlers { try replaceFile(path.appending(name), text.utf8) }
        return path
    }

    private func root(_ files: [String: [UInt8]]) throws -> (RawPath, RootReader) {
        let path = try TestContainer.temporaryDirectory()
        for (name, bytes) in files { try replaceFile(path.appending(name), bytes, mode: 0o755) }
        return (path, try RootReader(.directory(path)))
    }

    @Test func refusesWhatNothingRuns() throws {
        let (path, root) = try root([
            "arm": Self.head(183), "script": Array("#! /arm -x\n".utf8), "loop": Array("#!/loop".utf8),
            "own": Self.head(62), "text": Array("no program".utf8), "lost": Array("#!/none\n".utf8),
            "end": Array("#!".utf8),
        ])
        let empty = try directory(["status": "enabled\n", "register": "", "off": "disabled\n"])
        defer { for path in [path, empty] { try? removeTree(path) } }
        let check = ForeignProgram(root: root, host: "amd64", handlers: empty)
        for name in ["loop", "own", "text", "lost", "end", "none"] { try check.check("/" + name) }
        for name in ["arm", "script"] {
            let error = #expect(throws: ExecutorError.self) { try check.check("/" + name) }
            #expect(error?.code == .foreignArchitecture)
            #expect(
                error?.message.hasPrefix("exec /arm: exec format error: the image's programs are for arm64") == true
            )
            #expect(error?.nextStep?.contains("qemu-user-static") == true)
        }
        try ForeignProgram(root: root, host: "arm64", handlers: empty).check("/arm")
    }

    @Test func handlersRunForeignPrograms() throws {
        let (path, root) = try root(["arm": Self.head(183), "riscv": Self.head(243), "qemu": [1]])
        let fixed = try directory(["qemu-aarch64": Self.arm64])
        let inside = try directory([
            "a": Self.arm64.replacing("POCF", with: "OC"),
            "b": Self.arm64.replacing("POCF", with: "OC").replacing("b700", with: "f300")
                .replacing("/usr/libexec/qemu-binfmt/aarch64-binfmt-P", with: "/qemu"),
        ])
        defer { for path in [path, fixed, inside] { try? removeTree(path) } }
        try ForeignProgram(root: root, host: "amd64", handlers: fixed).check("/arm")
        #expect(throws: ExecutorError.self) {
            try ForeignProgram(root: root, host: "amd64", handlers: fixed).check("/riscv")
        }
        // Without the flag F the interpreter must be in the image.
        #expect(throws: ExecutorError.self) {
            try ForeignProgram(root: root, host: "amd64", handlers: inside).check("/arm")
        }
        try ForeignProgram(root: root, host: "amd64", handlers: inside).check("/riscv")
    }

    @Test(arguments: [
        "", "enabled\n", "enabled\nmagic 7f4\ninterpreter /x\n", "enabled\nmagic zz\ninterpreter /x\n",
        "disabled\ninterpreter /x\nmagic 7f45\n", "enabled\nextension .exe\ninterpreter /x\n",
    ])
    func unusableHandlers(text: String) { #expect(BinaryHandlers.Handler(parsing: text) == nil) }
}
