// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Testing

@Suite struct CompressionTests {
    enum Content: CaseIterable { case empty, oneByte, text, random, mixed, turns, exactBlock }

    static func bytes(_ content: Content) -> [UInt8] {
        var random = SplitMix(state: 7)
        func noise(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }
        let words = ["layer ", "blob ", "stage\n", "digest ", "copy "]
        func text(_ count: Int) -> [UInt8] {
            var out = [UInt8]()
            while out.count < count { out += (words.randomElement(using: &random) ?? "").utf8 }
            return Array(out.prefix(count))
        }
        return switch content {
        case .empty: []
        case .oneByte: [65]
        case .text: text(5_000_001)
        case .random: noise(3_500_000)
        case .mixed: text(1_300_000) + noise(2_500_000) + text(900_000)
        case .turns:
            (0..<120).reduce(into: []) { bytes, turn in
                let size = [1, 300, 512, 700, 4096, 20_000, 65_536, 130_001][Int.random(in: 0..<8, using: &random)]
                bytes += turn.isMultiple(of: 2) ? text(size) : noise(size)
            }
        case .exactBlock: text(2 << 20)
        }
    }

    static func gzip(_ input: [UInt8], threads: Int, chunk: Int = 100_000, level: Int32 = 6) throws -> [UInt8] {
        var out = [UInt8]()
        let compressor = try GzipBlockCompressor(level: level, threads: threads) { out += $0 }
        try feed(input, chunk) { try compressor.write($0) }
        try compressor.finish()
        return out
    }

    static func zstd(_ input: [UInt8], threads: Int, chunk: Int = 100_000) throws -> [UInt8] {
        var out = [UInt8]()
        let compressor = try ZstdCompressor(threads: threads) { out += $0 }
        try feed(input, chunk) { try compressor.write($0) }
        try compressor.finish()
        return out
    }

    static func inflate(_ compression: Compression, _ input: [UInt8], chunk: Int = 65536, limit: Int64 = .max) throws
        -> [UInt8]
    {
        var out = [UInt8]()
        let decompressor = try Decompressor(compression, limit: limit) { out += $0 }
        try feed(input, chunk) { try decompressor.write($0) }
        try decompressor.finish()
        return out
    }

    @Test(arguments: Content.allCases) func gzipIsReadByOthers(content: Content) throws {
        let scratch = try ScratchTree()
        let plain = Self.bytes(content)
        let packed = try Self.gzip(plain, threads: 2)
        #expect(packed.count <= plain.count + plain.count / 5000 + 64)
        try writeFile(scratch.path + "/plain", plain)
        try writeFile(scratch.path + "/a.gz", packed)
        try scratch.shell(
            """
            gzip -t a.gz; gzip -dc a.gz | cmp - plain
            python3 -c 'import gzip; assert gzip.open("a.gz").read() == open("plain", "rb").read()'
            """
        )
        #expect(try Self.inflate(.gzip, packed) == plain)
    }

    @Test(arguments: Content.allCases) func gzipDoesNotDependOnThreads(content: Content) throws {
        let plain = Self.bytes(content)
        let one = try Self.gzip(plain, threads: 1)
        #expect(try Self.gzip(plain, threads: 2, chunk: 4096) == one)
        #expect(try Self.gzip(plain, threads: 7, chunk: 10_000_000) == one)
    }

    @Test("what does not compress spoils nothing beside it, and is stored")
    func turnsAreToldApart() throws {
        let (text, noise) = (Array(Self.bytes(.text)[..<(1 << 20)]), Array(Self.bytes(.random)[..<(1 << 20)]))
        // As files in a tar, at a place that no block begins at.
        let plain = [UInt8](repeating: 0, count: 1536) + text + noise + text + noise
        let alone = try Self.gzip(text, threads: 1).count
        let packed = try Self.gzip(plain, threads: 2)
        #expect(packed.count < 2 * (alone + noise.count) + 2 * noise.count / 5000 + 4096)
        #expect(try Self.inflate(.gzip, packed) == plain)
    }

    @Test func noiseIsStored() throws {
        let plain = Self.bytes(.random)
        let packed = try Self.gzip(plain, threads: 1)
        // 18 bytes a member, 5 a stored block.
        #expect(packed.count > plain.count && packed.count < plain.count + 500)
    }

    @Test(arguments: Content.allCases) func zstdIsReadByOthers(content: Content) throws {
        let scratch = try ScratchTree()
        let plain = Self.bytes(content)
        let packed = try Self.zstd(plain, threads: 2)
        try writeFile(scratch.path + "/plain", plain)
        try writeFile(scratch.path + "/a.zst", packed)
        try scratch.shell("zstd -q -t a.zst; zstd -q -dc a.zst | cmp - plain")
        #expect(try Self.inflate(.zstd, packed) == plain)
        #expect(try Self.zstd(plain, threads: 1, chunk: 1 << 22) == packed)
        #expect(try Self.zstd(plain, threads: 5, chunk: 5000) == packed)
    }

    @Test(arguments: [1, 2, 3, 17, 1000, 1 << 20]) func inflatesInAnyChunks(chunk: Int) throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            seq 1 30000 > plain; printf 'second\\n' >> plain
            seq 1 30000 > named; gzip named; printf 'second\\n' | gzip -9 > b.gz; cat named.gz b.gz > a.gz
            seq 1 30000 | zstd -q > a.zst; printf '\\x50\\x2a\\x4d\\x18\\x03\\x00\\x00\\x00abc' >> a.zst; printf 'second\\n' | zstd -q >> a.zst
            """
        )
        let plain = try scratch.bytes("plain")
        #expect(try Self.inflate(.gzip, scratch.bytes("a.gz"), chunk: chunk) == plain)
        #expect(try Self.inflate(.gzip, scratch.bytes("a.gz") + [0, 0, 0], chunk: chunk) == plain)
        #expect(try Self.inflate(.zstd, scratch.bytes("a.zst"), chunk: chunk) == plain)
        #expect(try Self.inflate(.tar, plain, chunk: chunk) == plain)
    }

    @Test(arguments: [Compression.gzip, .zstd], [1, 100, 1 << 20])
    func damage(compression: Compression, chunk: Int) throws {
        let plain = Array(Self.bytes(.text).prefix(20_000))
        let packed = try compression == .gzip ? Self.gzip(plain, threads: 1) : Self.zstd(plain, threads: 1)
        for length in stride(from: 0, to: packed.count, by: max(1, packed.count / 97)) {
            expectError(.truncated) { _ = try Self.inflate(compression, Array(packed.prefix(length)), chunk: chunk) }
        }
        for at in stride(from: 10, to: packed.count, by: max(1, packed.count / 97)) {
            var bytes = packed
            bytes[at] ^= 0x55
            // Damage in a header field without meaning may pass; wrong content may not.
            if let out = try? Self.inflate(compression, bytes, chunk: chunk) { #expect(out == plain) }
        }
        #expect(throws: ArchiveError.self) {
            try Self.inflate(compression, packed + Array("trailing".utf8), chunk: chunk)
        }
        #expect(throws: ArchiveError.self) { try Self.inflate(compression, plain, chunk: chunk) }
        expectError(.tooLarge) { _ = try Self.inflate(compression, packed, chunk: chunk, limit: 19_999) }
    }

    @Test func gzipChecksumsAreVerified() throws {
        var packed = try Self.gzip(Self.bytes(.oneByte), threads: 1)
        packed[packed.count - 6] ^= 1
        expectError(.checksum) { _ = try Self.inflate(.gzip, packed) }
    }

    @Test func zstdWindowIsBounded() throws {
        let scratch = try ScratchTree()
        try scratch.shell("head -c 3000000 /dev/zero | zstd -q --long=31 --ultra -22 > a.zst")
        expectError(.malformed) { _ = try Self.inflate(.zstd, scratch.bytes("a.zst")) }
    }

    @Test func detection() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            echo hello > f; for f in v7 ustar pax gnu; do tar --format=$f -cf $f.tar f; done
            gzip -k f; bzip2 -k f; xz -k f; zstd -q -k f; tar -T /dev/null -cf empty.tar
            """
        )
        let table: [(String, Compression?)] = [
            ("f.gz", .gzip), ("f.bz2", .bzip2), ("f.xz", .xz), ("f.zst", .zstd), ("v7.tar", .tar), ("ustar.tar", .tar),
            ("pax.tar", .tar), ("gnu.tar", .tar), ("empty.tar", .tar), ("f", nil),
        ]
        for (name, expected) in table {
            #expect(
                try Compression.detect(Array(scratch.bytes(name).prefix(Compression.prefixLength))) == expected,
                "\(name)"
            )
        }
        #expect(Compression.detect([]) == nil)
    }
}
