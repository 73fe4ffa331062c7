// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Finds out from a program's first bytes whether this machine can run it, before a runtime fails to with a message that
/// helps nobody.
struct ForeignProgram {
    let root: RootReader
    /// Docker's name of this machine's architecture.
    let host: String
    var handlers = BinaryHandlers.standardDirectory

    /// Throws when the program at `path` is made for another machine and nothing here runs it.
    ///
    /// What cannot be told is left to the kernel.
    func check(_ path: String) throws {
        var path = path
        // A script names its interpreter, which the kernel lets be a script up to a few times.
        for _ in 0..<5 {
            guard let head = try? root.head(path, count: 256) else { return }
            if head.starts(with: "#!".utf8) {
                let line = head.dropFirst(2).prefix { $0 != UInt8(ascii: "\n") && $0 != 0 }
                let words = line.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
                guard let interpreter = words.first else { return }
                path = String(decoding: interpreter, as: UTF8.self)
                continue
            }
            guard let machine = ELFMachine(head), !machine.runs(on: host) else { return }
            if BinaryHandlers(handlers).handle(head, in: root) { return }
            throw ExecutorError(
                .foreignArchitecture,
                "exec \(path): exec format error: the image's programs are for \(machine.name), this machine is \(host), "
                    + "and its kernel has no handler for them",
                nextStep: "as root, install an emulator: apt-get install qemu-user-static binfmt-support (on Fedora: "
                    + "dnf install qemu-user-static), or: docker run --privileged --rm tonistiigi/binfmt --install "
                    + "\(machine.name); or build for this machine's platform"
            )
        }
    }
}

/// Which machine an ELF file is for.
struct ELFMachine: Equatable {
    /// Docker's name.
    let name: String

    /// Nil for what is no ELF file, or one of a machine without a name here.
    init?(_ head: [UInt8]) {
        guard head.count >= 20, head.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else { return nil }
        let is64 = head[4] == 2
        let isLittle = head[5] == 1
        let number = isLittle ? UInt16(head[19]) << 8 | UInt16(head[18]) : UInt16(head[18]) << 8 | UInt16(head[19])
        // elf.h
        switch (number, is64, isLittle) {
        case (3, _, _): name = "386"
        case (8, false, true): name = "mipsle"
        case (8, false, false): name = "mips"
        case (8, true, true): name = "mips64le"
        case (8, true, false): name = "mips64"
        case (20, _, _): name = "ppc"
        case (21, _, true): name = "ppc64le"
        case (21, _, false): name = "ppc64"
        case (22, _, _): name = "s390x"
        case (40, _, _): name = "arm"
        case (62, _, _): name = "amd64"
        case (183, _, _): name = "arm64"
        case (243, true, _): name = "riscv64"
        case (258, true, _): name = "loong64"
        default: return nil
        }
    }

    /// True also where only some machines of the kind can, like 32-bit programs on 64-bit ARM, and where nothing is known.
    func runs(on host: String) -> Bool {
        guard let native = Self.programs[host] else { return true }
        return native.contains(name)
    }

    private static let programs: [String: Set<String>] = [
        "amd64": ["amd64", "386"], "x86": ["386"], "arm64": ["arm64", "arm"], "arm": ["arm"],
        "ppc64le": ["ppc64le"], "s390x": ["s390x"], "riscv64": ["riscv64"], "loongarch64": ["loong64"],
    ]
}

/// The kernel's binfmt_misc handlers (Documentation/admin-guide/binfmt-misc.rst).
struct BinaryHandlers {
    static let standardDirectory: RawPath = "/proc/sys/fs/binfmt_misc"

    struct Handler: Equatable {
        var interpreter: String
        var flags: String
        var offset: Int
        var magic: [UInt8]
        var mask: [UInt8]

        /// Nil for one that is off, or goes by a file's name.
        init?(parsing text: String) {
            var fields: [Substring: Substring] = [:]
            let lines = text.split(separator: "\n")
            guard lines.first == "enabled" else { return nil }
            for line in lines.dropFirst() {
                let parts = line.split(separator: " ", maxSplits: 1)
                if parts.count == 2 { fields[parts[0]] = parts[1] }
            }
            guard let magic = fields["magic"].flatMap(Self.bytes), let interpreter = fields["interpreter"] else {
                return nil
            }
            self.interpreter = String(interpreter)
            self.magic = magic
            flags = String(fields["flags:"] ?? "")
            offset = fields["offset"].flatMap { Int($0) } ?? 0
            mask = fields["mask"].flatMap(Self.bytes) ?? []
        }

        private static func bytes(_ text: Substring) -> [UInt8]? {
            let digits = Array(text)
            guard digits.count % 2 == 0 else { return nil }
            var result: [UInt8] = []
            for start in stride(from: 0, to: digits.count, by: 2) {
                guard let byte = UInt8(String(digits[start...(start + 1)]), radix: 16) else { return nil }
                result.append(byte)
            }
            return result
        }

        func matches(_ head: [UInt8]) -> Bool {
            guard offset >= 0, offset + magic.count <= head.count else { return false }
            return magic.indices.allSatisfy { index in
                let mask = index < mask.count ? mask[index] : 0xff
                return (head[offset + index] ^ magic[index]) & mask == 0
            }
        }
    }

    let handlers: [Handler]

    init(_ directory: RawPath) {
        var names: [DirectoryEntry] = []
        if let handle = try? open(directory, [.directory]) { names = (try? readDirectory(handle.raw)) ?? [] }
        handlers = names.sorted { $0.name < $1.name }.compactMap { entry in
            guard entry.name != "register", entry.name != "status",
                let bytes = try? readFile(directory.appending(entry.name), limit: 64 << 10)
            else { return nil }
            return Handler(parsing: String(decoding: bytes, as: UTF8.self))
        }
    }

    /// Whether one of them runs such a program in the container. Without the flag F the interpreter has to be in it.
    func handle(_ head: [UInt8], in root: RootReader) -> Bool {
        handlers.contains { handler in
            guard handler.matches(head) else { return false }
            if handler.flags.contains("F") { return true }
            return (try? root.status(handler.interpreter)) != nil
        }
    }
}
