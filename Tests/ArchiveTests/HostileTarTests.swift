// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Testing

@Suite struct HostileTarTests {
    /// A header with the fields overwritten and the checksum made to fit.
    private static func header(
        _ type: Character,
        size: String = "00000000000",
        _ edit: (inout [UInt8]) -> Void = { _ in }
    ) throws -> [UInt8] {
        var block = Array(try tar([file("name")]).prefix(512))
        block[156] = type.asciiValue ?? 0
        block.replaceSubrange(124..<(124 + size.utf8.count), with: Array(size.utf8))
        edit(&block)
        var sum = 8 * 32
        for index in 0..<512 where !(148..<156).contains(index) { sum += Int(block[index]) }
        let text = String(sum, radix: 8)
        block.replaceSubrange(148..<154, with: Array((String(repeating: "0", count: 6 - text.utf8.count) + text).utf8))
        return block
    }

    private static func pax(_ body: String) throws -> [UInt8] {
        let bytes = Array(body.utf8)
        let octal = String(bytes.count, radix: 8)
        let size = String(repeating: "0", count: 11 - octal.utf8.count) + octal
        return try header("x", size: size) + bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    }

    private static func record(_ key: String, _ value: String) -> String {
        var length = key.utf8.count + value.utf8.count + 3
        length += String(length + String(length).utf8.count).utf8.count
        return "\(length) \(key)=\(value)\n"
    }

    @Test(arguments: ["x", "g", "L", "K"]) func metadataBombs(type: Character) throws {
        expectError(.tooLarge) { _ = try Collector.read(Self.header(type, size: "77777777777")) }
    }

    @Test(arguments: [
        ("path", String(repeating: "p", count: 5000)), ("linkpath", String(repeating: "p", count: 5000)),
    ]) func longPaths(key: String, value: String) throws {
        expectError(.tooLarge) { _ = try Collector.read(Self.pax(Self.record(key, value)) + Self.header("2")) }
    }

    @Test(arguments: [
        "999999999999999999999999 a=b\n", "5 a=b", "0 a=b\n", "-3 a=b\n", "6 ab\n", "7 =ab\n", "12 path=a\0b\n",
        "a=b\n", "30 a=b\n", " 7 a=b\n", "16 size=1e9999\n", "11 uid=0x1\n", "14 mtime=1.x\n", "17 size=-1000000\n",
        "33 size=99999999999999999999999\n", "30 GNU.sparse.map=1,2,3,4,5,\n", "24 GNU.sparse.numbytes=1\n",
        "22 uid=99999999999999\n", "23 LIBARCHIVE.xattr.a=!\n",
    ]) func malformedRecords(body: String) throws {
        expectError(.malformed) { _ = try Collector.read(Self.pax(body) + Self.header("0")) }
    }

    @Test(arguments: [
        "0,10,5,10", "10,5,0,5", "0,9223372036854775807", "9223372036854775807,9223372036854775807", "0,3", "0,20",
    ]) func sparseMaps(map: String) throws {
        let records = Self.record("GNU.sparse.map", map) + Self.record("GNU.sparse.size", "15")
        expectError(.malformed) {
            _ = try Collector.read(
                Self.pax(records) + Self.header("0", size: "00000000012") + [UInt8](repeating: 1, count: 512)
            )
        }
    }

    @Test(arguments: ["999999999\n", "1\n\n", "x\n", "1\n0\n99999999999999999999\n", "-1\n"])
    func sparseLines(map: String) throws {
        let records =
            Self.record("GNU.sparse.major", "1") + Self.record("GNU.sparse.minor", "0")
            + Self.record("GNU.sparse.realsize", "15")
        let block = Array(map.utf8) + [UInt8](repeating: 0, count: 512 - map.utf8.count)
        #expect(throws: ArchiveError.self) {
            _ = try Collector.read(Self.pax(records) + Self.header("0", size: "00000001000") + block)
        }
    }

    @Test func impossibleNumbers() throws {
        let huge: [UInt8] = [0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        expectError(.tooLarge) {
            _ = try Collector.read(Self.header("0") { $0.replaceSubrange(124..<136, with: huge) })
        }
        let negative = [UInt8](repeating: 0xff, count: 12)
        expectError(.malformed) {
            _ = try Collector.read(Self.header("0") { $0.replaceSubrange(124..<136, with: negative) })
        }
        let largest: [UInt8] = [0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        expectError(.truncated) {
            _ = try Collector.read(Self.header("0") { $0.replaceSubrange(124..<136, with: largest) })
        }
        expectError(.malformed) {
            _ = try Collector.read(Self.header("0") { $0.replaceSubrange(100..<107, with: Array("00x0644".utf8)) })
        }
    }

    @Test(arguments: ["V", "M", "D", "N", "9", "\u{7f}"]) func unknownTypes(type: Character) throws {
        expectError(.unsupported) { _ = try Collector.read(Self.header(type)) }
    }

    private static func rich() throws -> [UInt8] {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            mkdir d; printf hello > d/file; ln -s \(String(repeating: "t", count: 200)) d/sym; ln d/file hard
            truncate -s 300000 sparse; printf x | dd of=sparse bs=1 seek=150000 conv=notrunc status=none
            setfattr -n user.k -v v d/file || true; touch \(String(repeating: "n", count: 150))
            tar --format=pax --xattrs --sparse -cf pax.tar d hard sparse n*; tar --format=gnu --sparse -cf gnu.tar d hard sparse n*
            head -c -1024 pax.tar > both.tar; cat gnu.tar >> both.tar
            """
        )
        // GNU tar pads to a record, so the first archive's closing blocks are cut by content.
        var pax = try scratch.bytes("pax.tar")
        while pax.suffix(512).allSatisfy({ $0 == 0 }) { pax.removeLast(512) }
        return pax + (try scratch.bytes("gnu.tar"))
    }

    @Test func truncatedEverywhere() throws {
        var bytes = try Self.rich()
        while bytes.suffix(512).allSatisfy({ $0 == 0 }) { bytes.removeLast(512) }
        let whole = try Collector.read(bytes)
        for length in stride(from: 0, to: bytes.count, by: 64) {
            do {
                let items = try Collector.read(Array(bytes.prefix(length)))
                // What is accepted is a whole number of entries.
                #expect(items.allSatisfy { $0.ended })
                #expect(items == Array(whole.prefix(items.count)))
            } catch let error as ArchiveError {
                #expect(error.code == .truncated)
            }
        }
    }

    /// Random damage is an error or another archive; never a trap, a hang or more data than the archive could hold.
    @Test(arguments: 0..<8) func mutations(seed: UInt64) throws {
        let original = try Self.rich()
        var random = SplitMix(state: seed)
        for round in 0..<400 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                bytes[at] = UInt8.random(in: 0...255, using: &random)
            }
            if round % 2 == 0 { Self.fixChecksums(&bytes) }
            var reader = TarReader()
            var collector = Collector()
            collector.keepsContent = false
            do {
                try feed(bytes, Int.random(in: 1...5000, using: &random)) { try reader.push($0, to: &collector) }
                try reader.finish()
            } catch is ArchiveError {
            }
        }
    }

    /// Makes every block that looks like a header valid again, so that damage reaches what is behind the checksum.
    private static func fixChecksums(_ bytes: inout [UInt8]) {
        for start in stride(from: 0, to: bytes.count - 511, by: 512)
        where bytes[(start + 257)..<(start + 262)].elementsEqual("ustar".utf8) {
            var sum = 8 * 32
            for index in 0..<512 where !(148..<156).contains(index) { sum += Int(bytes[start + index]) }
            let text = String(sum, radix: 8)
            let digits = Array((String(repeating: "0", count: 6 - text.utf8.count) + text + "\0 ").utf8)
            bytes.replaceSubrange((start + 148)..<(start + 156), with: digits)
        }
    }
}

/// A small deterministic generator, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
