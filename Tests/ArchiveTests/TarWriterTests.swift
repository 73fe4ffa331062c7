// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Testing

@Suite struct TarWriterTests {
    private static let times = [
        FileTime(seconds: 0), FileTime(seconds: 1_000_000_000, nanoseconds: 5), FileTime(seconds: -1, nanoseconds: 1),
        FileTime(seconds: -100), FileTime(seconds: 1 << 40, nanoseconds: 120_000_000),
    ]

    private static var entries: [TarEntry] {
        var entries = [TarEntry]()
        let names: [RawPath] = [
            "a", "d/", "dir", RawPath(String(repeating: "x", count: 100)), RawPath(String(repeating: "x", count: 101)),
            RawPath(String(repeating: "p", count: 155) + "/" + String(repeating: "n", count: 100)),
            RawPath(String(repeating: "p", count: 156) + "/" + String(repeating: "n", count: 100)),
            RawPath(String(repeating: "p/", count: 1000) + "end"), "h\u{e9}llo/w\u{f6}rld",
            RawPath(bytes: [0x66, 0xff, 0xfe]),
        ]
        let kinds: [EntryMetadata.Kind] = [
            .file(size: 0), .directory, .symlink(target: "/x"), .hardLink(target: "a"), .fifo,
            .symlink(target: RawPath(String(repeating: "t", count: 101))), .symlink(target: RawPath(bytes: [0xff])),
            .characterDevice(major: 4095, minor: 1_048_575), .blockDevice(major: 8, minor: 1),
        ]
        for (index, name) in names.enumerated() {
            for kind in kinds {
                let isDirectory = kind == .directory
                var path = name
                if isDirectory, path.bytes.last != 0x2f { path.bytes.append(0x2f) }
                if !isDirectory, path.bytes.last == 0x2f { path.bytes.removeLast() }
                let metadata = EntryMetadata(
                    kind,
                    mode: 0o7777,
                    uid: index % 2 == 0 ? 3_000_000_000 : 1000,
                    gid: 0o7777777 + UInt32(index % 2),
                    mtime: times[index % times.count],
                    xattrs: index % 3 == 0 ? [ExtendedAttribute(name: "user.a=b%", value: [0, 10, 61])] : []
                )
                entries.append(TarEntry(path: path, metadata: metadata))
            }
        }
        return entries
    }

    @Test func readBackAsWritten() throws {
        let entries = Self.entries
        let bytes = try tar(entries.map { ($0, []) })
        #expect(bytes.count % 512 == 0)
        #expect(try Collector.read(bytes).map(\.entry) == entries)
        #expect(try tar(entries.map { ($0, []) }) == bytes)
    }

    @Test func pythonReadsTheSame() throws {
        let scratch = try ScratchTree()
        let entries = Self.entries.filter { $0.path.bytes != [0x66, 0xff, 0xfe] && $0.metadata.mtime.nanoseconds == 0 }
        try writeFile(scratch.path + "/a.tar", tar(entries.map { ($0, []) }))
        let expected = entries.map {
            "\($0.path.components.map(\.description).joined(separator: "/")) \($0.metadata.uid) \($0.metadata.gid) \($0.metadata.mtime.seconds)"
        }
        let read = try scratch.shell(
            """
            python3 -c '
            import tarfile
            for m in tarfile.open("a.tar"): print(m.name, m.uid, m.gid, int(m.mtime))'
            """
        )
        #expect(read.split(separator: "\n").map(String.init) == expected)
    }

    @Test func largeSizes() throws {
        // Only the headers of a file over octal's 8 GiB.
        var head = [UInt8]()
        var writer = TarWriter { head += $0.prefix(1 << 16) }
        try writer.begin(TarEntry(path: "big", metadata: EntryMetadata(.file(size: 1 << 33))))
        try writer.writeZeros(1 << 20)
        var reader = TarReader()
        var collector = Collector()
        try feed(head, 1 << 20) { try reader.push($0, to: &collector) }
        #expect(collector.items.first?.entry.metadata.kind == .file(size: 1 << 33))
    }

    @Test func plainEntriesAreUstar() throws {
        let bytes = try tar([file("a/b", "hello")])
        #expect(bytes.count == 512 + 512 + 1024)
        #expect(bytes[257..<265].elementsEqual("ustar\u{0}00".utf8))
    }

    @Test func sizesMustMatch() throws {
        var writer = TarWriter { _ in }
        try writer.begin(file("a", "hello").0)
        expectError(.misuse) { try [UInt8](repeating: 0, count: 6).withUnsafeBytes { try writer.write($0) } }
        expectError(.misuse) { try writer.end() }
        expectError(.misuse) { try writer.begin(file("b").0) }
        expectError(.misuse) { try writer.finish() }
        for path: RawPath in ["", RawPath(String(repeating: "x", count: 5000)), RawPath(bytes: [0x61, 0])] {
            var writer = TarWriter { _ in }
            expectError(.misuse) { try writer.begin(file(path).0) }
        }
    }

    @Test func piecesReachTheSinkInOrder() throws {
        var random = SplitMix(state: 1)
        let content = (0..<3_000_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let entry = TarEntry(path: "f", metadata: EntryMetadata(.file(size: Int64(content.count))))
        for chunk in [1000, 131_072, 3_000_000] {
            var bytes = [UInt8]()
            var writer = TarWriter { bytes += $0 }
            try writer.begin(entry)
            try feed(content, chunk) { try writer.write($0) }
            try writer.end()
            try writer.finish()
            #expect(try Collector.read(bytes)[0].content == content)
        }
    }
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    let fd = try open(RawPath(path), [.writeOnly, .create, .truncate])
    try writeBytes(fd.raw, bytes)
}
