// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Testing

/// bzip2 and xz, which Galley only reads: streams that the programs of that name made.
@Suite(.timeLimit(.minutes(2))) struct DecoderTests {
    static let formats: [(Compression, String)] = [(.bzip2, "bzip2"), (.xz, "xz")]

    private static func packed(_ plain: [UInt8], _ command: String) throws -> [UInt8] {
        let scratch = try ScratchTree()
        try writeFile(scratch.path + "/plain", plain)
        try scratch.shell("\(command) < plain > packed")
        return try scratch.bytes("packed")
    }

    private static func inflate(_ format: Compression, _ bytes: [UInt8], chunk: Int = 65536) throws -> [UInt8] {
        try CompressionTests.inflate(format, bytes, chunk: chunk)
    }

    @Test(arguments: CompressionTests.Content.allCases, formats)
    func readsWhatTheProgramWrote(content: CompressionTests.Content, format: (Compression, String)) throws {
        let plain = CompressionTests.bytes(content)
        #expect(try Self.inflate(format.0, Self.packed(plain, format.1)) == plain)
    }

    @Test(arguments: ["xz -0", "xz -9e", "xz --check=none", "xz --check=crc32", "xz --check=sha256"])
    func readsEveryCheckOfXZ(command: String) throws {
        let plain = CompressionTests.bytes(.text)
        #expect(try Self.inflate(.xz, Self.packed(plain, command)) == plain)
    }

    @Test(arguments: ["xz --x86 --lzma2", "xz --delta=dist=4 --lzma2=dict=1MiB", "xz --block-size=65536 -T2"])
    func readsFiltersAndBlocksOfXZ(command: String) throws {
        let plain = CompressionTests.bytes(.mixed)
        #expect(try Self.inflate(.xz, Self.packed(plain, command)) == plain)
    }

    @Test(arguments: [1, 2, 3, 17, 1000, 1 << 20]) func readsManyStreamsInAnyChunks(chunk: Int) throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            seq 1 30000 > plain; printf 'second\\n' >> plain
            for p in bzip2 xz; do
                (seq 1 30000 | $p; : | $p; printf 'second\\n' | $p -1) > $p.packed
            done
            (seq 1 30000 | xz; printf '\\0\\0\\0\\0'; printf 'second\\n' | xz; printf '\\0\\0\\0\\0') > xz.padded
            """
        )
        let plain = try scratch.bytes("plain")
        #expect(try Self.inflate(.bzip2, scratch.bytes("bzip2.packed"), chunk: chunk) == plain)
        #expect(try Self.inflate(.bzip2, scratch.bytes("bzip2.packed") + [0, 0, 0], chunk: chunk) == plain)
        #expect(try Self.inflate(.xz, scratch.bytes("xz.packed"), chunk: chunk) == plain)
        #expect(try Self.inflate(.xz, scratch.bytes("xz.padded"), chunk: chunk) == plain)
    }

    @Test(arguments: formats, [1, 100, 1 << 20])
    func damage(format: (Compression, String), chunk: Int) throws {
        let compression = format.0
        let plain = Array(CompressionTests.bytes(.text).prefix(20_000))
        let packed = try Self.packed(plain, format.1)
        for length in stride(from: 0, to: packed.count, by: max(1, packed.count / 97)) {
            expectError(.truncated) {
                _ = try CompressionTests.inflate(compression, Array(packed.prefix(length)), chunk: chunk)
            }
        }
        for at in stride(from: 0, to: packed.count, by: max(1, packed.count / 97)) {
            var bytes = packed
            bytes[at] ^= 0x55
            // Damage in a field without meaning may pass; wrong content may not.
            if let out = try? Self.inflate(compression, bytes, chunk: chunk) { #expect(out == plain) }
        }
        for trailing in ["t", "trailing bytes that are no stream", "BZhello, world", "\u{0}x"] {
            #expect(throws: ArchiveError.self) {
                try Self.inflate(compression, packed + Array(trailing.utf8), chunk: chunk)
            }
        }
        #expect(throws: ArchiveError.self) { try Self.inflate(compression, plain, chunk: chunk) }
        expectError(.tooLarge) {
            _ = try CompressionTests.inflate(compression, packed, chunk: chunk, limit: 19_999)
        }
    }

    /// A wrong checksum with the right bytes is damage too.
    @Test(arguments: formats) func checksumsAreVerified(format: (Compression, String)) throws {
        var packed = try Self.packed(CompressionTests.bytes(.oneByte), format.1 == "xz" ? "xz --check=crc64" : "bzip2")
        // bzip2: the block's checksum is behind its magic; xz: the check is before the index and footer.
        let at = format.0 == .bzip2 ? 10 : packed.count - 12 - 8 - 8
        packed[at] ^= 1
        expectError(.malformed) { _ = try Self.inflate(format.0, packed) }
    }

    @Test func memoryOfXZIsBounded() throws {
        let allowed = try Self.packed(Array(repeating: 7, count: 1000), "xz --lzma2=dict=128MiB")
        #expect(try Self.inflate(.xz, allowed) == Array(repeating: 7, count: 1000))
        let plain = CompressionTests.bytes(.oneByte)
        let greedy = try Self.packed(plain, "xz --lzma2=dict=192MiB")
        #expect {
            try Self.inflate(.xz, greedy)
        } throws: {
            ($0 as? ArchiveError)?.code == .tooLarge && "\($0)".contains("MiB to decode; 144 MiB is the limit")
        }
    }

    /// What goes to the sink at once is small, however much a few bytes inflate to.
    @Test(arguments: formats) func bombsComeInSmallPieces(format: (Compression, String)) throws {
        let scratch = try ScratchTree()
        try scratch.shell("head -c 200000000 /dev/zero | \(format.1) > bomb")
        let bomb = try scratch.bytes("bomb")
        #expect(bomb.count < 100_000)
        var largest = 0
        var total = 0
        let decompressor = try Decompressor(format.0) { bytes in
            largest = max(largest, bytes.count)
            total += bytes.count
        }
        try feed(bomb, 1 << 20) { try decompressor.write($0) }
        try decompressor.finish()
        #expect(total == 200_000_000)
        #expect(largest <= 1 << 20)
        expectError(.tooLarge) { _ = try CompressionTests.inflate(format.0, bomb, limit: 1_000_000) }
    }

    /// A decoder that was given up half way leaves nothing behind and does not crash.
    @Test(arguments: formats) func isAbandoned(format: (Compression, String)) throws {
        let packed = try Self.packed(CompressionTests.bytes(.text), format.1)
        struct Enough: Error {}
        for count in [0, 1, 10, packed.count / 2] {
            let decompressor = try Decompressor(format.0) { _ in }
            try feed(Array(packed.prefix(count)), 1000) { try decompressor.write($0) }
        }
        let decompressor = try Decompressor(format.0) { _ in throw Enough() }
        #expect(throws: Enough.self) { try feed(packed, packed.count) { try decompressor.write($0) } }
    }
}
