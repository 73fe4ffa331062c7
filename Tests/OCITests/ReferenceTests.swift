// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Testing

@Suite struct ReferenceTests {
    private static let sha = "sha256:" + String(repeating: "a", count: 64)

    /// Text, full form, familiar form; the same as Docker's reference grammar gives.
    @Test(arguments: [
        ("alpine", "docker.io/library/alpine", "alpine"),
        ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
        ("docker.io/alpine", "docker.io/library/alpine", "alpine"),
        ("index.docker.io/library/alpine:latest", "docker.io/library/alpine:latest", "alpine:latest"),
        ("library/alpine", "docker.io/library/alpine", "alpine"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("docker.io/example.com/a", "docker.io/example.com/a", "docker.io/example.com/a"),
        ("localhost/a", "localhost/a", "localhost/a"),
        ("localhost", "docker.io/library/localhost", "localhost"),
        ("localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x"),
        ("example.com/a", "example.com/a", "example.com/a"),
        ("example.com:443/a", "example.com:443/a", "example.com:443/a"),
        ("Example/a", "Example/a", "Example/a"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a", "127.0.0.1:5000/a"),
        ("[::1]/a", "[::1]/a", "[::1]/a"),
        ("[2001:db8::1]:5000/a:b", "[2001:db8::1]:5000/a:b", "[2001:db8::1]:5000/a:b"),
        ("a@\(sha)", "docker.io/library/a@\(sha)", "a@\(sha)"),
        ("example.com/a:1@\(sha)", "example.com/a:1@\(sha)", "example.com/a:1@\(sha)"),
        ("a__b/c-d---e.f_g", "docker.io/a__b/c-d---e.f_g", "a__b/c-d---e.f_g"),
        ("a:_Tag.1-x", "docker.io/library/a:_Tag.1-x", "a:_Tag.1-x"),
    ]) func parses(text: String, full: String, familiar: String) throws {
        let reference = try Reference(text)
        #expect(reference.description == full)
        #expect(reference.familiar == familiar)
        #expect(try Reference(full) == reference)
        #expect(try Reference(familiar) == reference)
    }

    @Test(arguments: [
        "", ":", ":tag", "@\(sha)", "/a", "a/", "a//b", "Alpine", "user/App", "a:", "a:-x", "a:.x", "a:b/c", "a b",
        " a",
        "a:\(String(repeating: "x", count: 129))", "\(String(repeating: "x", count: 256))", "a@sha256:abc", "a@",
        "a@\(sha)x", "a@\(sha)@\(sha)", "a___b", "a..b", "a.-b", "-a", "a-", "_a", "host:port/a", "host:/a",
        "[::1/a", "[]/a", "[::g]/a", "[::1]x/a", "[\u{ff11}]/a", "a\u{301}", "a:\u{301}x", "ä", "a\0", "a\r\n",
        "https://a/b",
        "a:tag\n", String(repeating: "0", count: 64), "a@sha256:\(String(repeating: "A", count: 64))",
        "a@sha999:\(String(repeating: "a", count: 64))",
    ]) func refuses(text: String) {
        #expect(throws: OCIError.self) { try Reference(text) }
    }

    @Test func defaultTag() throws {
        #expect(try Reference("a").withDefaultTag.tag == "latest")
        #expect(try Reference("a:1").withDefaultTag.tag == "1")
        #expect(try Reference("a@\(Self.sha)").withDefaultTag.tag == nil)
        #expect(try Reference("a:1@\(Self.sha)").tagOrDigest == Self.sha)
        #expect(try Reference("a").tagOrDigest == "latest")
    }

    /// No text crashes it, and what parses has a stable form.
    @Test func anyText() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("aA0._-:/@[]\u{301} \r\n\0") + ["sha256:", "\r\n", "docker.io/"].flatMap { Array($0) }
        for _ in 0..<20_000 {
            let text = String(
                (0..<Int.random(in: 0..<12)).map { _ in alphabet.randomElement(using: &generator) ?? "a" }
            )
            guard let reference = try? Reference(text) else { continue }
            #expect((try? Reference(reference.description)) == reference, "\(text)")
            #expect((try? Reference(reference.familiar)) == reference, "\(text)")
        }
    }
}

@Suite struct DigestTests {
    @Test func knownValues() throws {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        #expect(Digest.sha256("").description == empty)
        let digest = try Digest(empty)
        #expect(digest == Digest.sha256([UInt8]()))
        #expect(digest.short == "e3b0c44298fc")
        #expect(Digest(sha256Raw: digest.bytes) == digest)
        #expect(digest.bytes.prefix(2) == [0xe3, 0xb0])
        let long = try Digest("sha512:" + String(repeating: "0f", count: 64))
        #expect(long.algorithm == .sha512)
        #expect(long.bytes == [UInt8](repeating: 15, count: 64))
        #expect(digest < long)
        #expect(!(long < digest))
        #expect(long.hex == String(repeating: "0f", count: 64))
        #expect(MemoryLayout<Digest?>.size <= 40)
    }

    /// As their texts are.
    @Test func ordered() throws {
        let digests = (0..<200).map { Digest.sha256("\($0)") }
        #expect(digests.sorted().map(\.hex) == digests.map(\.hex).sorted())
        for digest in digests { #expect(try Digest(digest.description) == digest) }
        let long = try (0..<20).map { try Digest("sha512:\(digests[$0].hex)\(digests[$0 + 20].hex)") }
        #expect(long.sorted().map(\.hex) == long.map(\.hex).sorted())
    }

    @Test(arguments: [
        "", "sha256", "sha256:", ":abc", "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:" + String(repeating: "A", count: 64),
        "sha256:" + String(repeating: "a", count: 63), "sha256:" + String(repeating: "a", count: 65),
        "sha256:" + String(repeating: "g", count: 64), "SHA256:" + String(repeating: "a", count: 64),
        "sha512:" + String(repeating: "a", count: 64), "sha256:" + String(repeating: "\u{ff41}", count: 64),
        " sha256:" + String(repeating: "a", count: 64), "sha256:" + String(repeating: "a", count: 62) + "\u{301}",
        "sha256:../../../../../../../../../../../../../../../../../../../etc/pass",
    ]) func refuses(text: String) {
        #expect(throws: OCIError.self) { try Digest(text) }
    }

    @Test func hashesInPieces() {
        var hasher = Digest.Hasher()
        hasher.update("ab")
        #expect(hasher.finalize() == .sha256("ab"))
        hasher.update([0x63])
        #expect(hasher.finalize() == .sha256("abc"))
        #expect(hasher.count == 3)
    }

    /// The example of the OCI image specification: a chain is a digest of digests' text.
    @Test func chains() {
        let layers = ["a", "b", "c"].map { DiffID(.sha256($0)) }
        let chain = ChainID.chain(layers)
        #expect(chain[0].digest == layers[0].digest)
        #expect(chain[1].digest == .sha256("\(layers[0]) \(layers[1])"))
        #expect(chain[2].digest == .sha256("\(chain[1]) \(layers[2])"))
        #expect(ChainID.chain([]).isEmpty)
        #expect(DiffID.empty.digest.hex.hasPrefix("5f70bf18a086"))
    }
}
