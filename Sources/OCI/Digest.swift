// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Crypto

/// The content address of stored or sent bytes: an algorithm and the lowercase hex of the hash.
///
/// Only `sha256` and `sha512` with the right number of hex digits can be made, so no later code meets a malformed
/// digest. OCI image-spec, descriptor.md, "Digests".
public struct Digest: Hashable, Sendable, Comparable, CustomStringConvertible {
    public enum Algorithm: String, Sendable, CaseIterable {
        case sha256
        case sha512

        /// Length of the hash in hex digits.
        public var hexLength: Int { self == .sha256 ? 64 : 128 }
    }

    /// Held without an allocation: there are hundreds of thousands of them in memory. Words are big-endian, so that they
    /// are ordered like the text.
    private enum Hash: Hashable, Sendable {
        case sha256(UInt64, UInt64, UInt64, UInt64)
        case sha512([UInt8])
    }

    private let hash: Hash

    public var algorithm: Algorithm {
        switch hash {
        case .sha256: .sha256
        case .sha512: .sha512
        }
    }

    /// Lowercase hex digits, `algorithm.hexLength` of them.
    public var hex: String {
        String(unsafeUninitializedCapacity: algorithm.hexLength) { digits in
            var count = 0
            withBytes { bytes in
                for byte in bytes {
                    digits[count] = Self.digit(byte >> 4)
                    digits[count + 1] = Self.digit(byte & 15)
                    count += 2
                }
            }
            return count
        }
    }

    /// Parses `sha256:<64 hex>` or `sha512:<128 hex>`.
    public init(_ text: some StringProtocol) throws(OCIError) {
        guard let colon = text.firstIndex(of: ":"),
            let algorithm = Algorithm(rawValue: String(text[..<colon]))
        else { throw OCIError(.invalidDigest, "\"\(text)\" is not a digest: expected sha256:<64 hex digits>") }
        let hex = text[text.index(after: colon)...]
        guard hex.utf8.count == algorithm.hexLength,
            hex.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else {
            throw OCIError(
                .invalidDigest,
                "\"\(text)\" is not a digest: \(algorithm) needs \(algorithm.hexLength) lowercase hex digits"
            )
        }
        let digits = Array(hex.utf8)
        let bytes = stride(from: 0, to: digits.count, by: 2).map {
            Self.value(digits[$0]) << 4 | Self.value(digits[$0 + 1])
        }
        hash = algorithm == .sha256 ? bytes.withUnsafeBytes { Self.sha256Hash($0) } : .sha512(bytes)
    }

    /// The sha256 digest with these 32 bytes.
    public init(sha256Raw bytes: some Collection<UInt8>) {
        self = Array(bytes).withUnsafeBytes { Digest(sha256Raw: $0) }
    }

    /// The sha256 digest with these 32 bytes.
    public init(sha256Raw bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == 32, "a sha256 has 32 bytes")
        hash = Self.sha256Hash(bytes)
    }

    /// The hash as bytes.
    public var bytes: [UInt8] { withBytes { Array($0) } }

    private static func sha256Hash(_ bytes: UnsafeRawBufferPointer) -> Hash {
        func word(_ number: Int) -> UInt64 {
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8 * number, as: UInt64.self))
        }
        return .sha256(word(0), word(1), word(2), word(3))
    }

    private func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        switch hash {
        case .sha256(let a, let b, let c, let d):
            return withUnsafeBytes(of: (a.bigEndian, b.bigEndian, c.bigEndian, d.bigEndian), body)
        case .sha512(let bytes): return bytes.withUnsafeBytes(body)
        }
    }

    private static func digit(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 0x30 + nibble : 0x57 + nibble }
    private static func value(_ digit: UInt8) -> UInt8 { digit < 0x3a ? digit - 0x30 : digit - 0x57 }

    /// The sha256 digest of `bytes`.
    public static func sha256(_ bytes: some Sequence<UInt8>) -> Digest {
        var hasher = Hasher()
        hasher.update(Array(bytes))
        return hasher.finalize()
    }

    /// The sha256 digest of the UTF-8 of `text`.
    public static func sha256(_ text: String) -> Digest { sha256(text.utf8) }

    public var description: String { "\(algorithm.rawValue):\(hex)" }

    /// The first twelve hex digits, as Docker's tables show identifiers.
    public var short: String { String(hex.prefix(12)) }

    public static func < (a: Digest, b: Digest) -> Bool {
        switch (a.hash, b.hash) {
        case (.sha256(let a, let b, let c, let d), .sha256(let e, let f, let g, let h)): (a, b, c, d) < (e, f, g, h)
        case (.sha512(let a), .sha512(let b)): a.lexicographicallyPrecedes(b)
        case (.sha256, .sha512): true
        case (.sha512, .sha256): false
        }
    }

    /// An incremental sha256.
    public struct Hasher: Sendable {
        private var hash = SHA256()
        /// Bytes hashed so far.
        public private(set) var count: Int64 = 0

        public init() {}

        public mutating func update(_ bytes: UnsafeRawBufferPointer) {
            hash.update(bufferPointer: bytes)
            count += Int64(bytes.count)
        }

        public mutating func update(_ bytes: [UInt8]) {
            bytes.withUnsafeBytes { update($0) }
        }

        public mutating func update(_ text: String) { update(Array(text.utf8)) }

        /// The digest of everything hashed so far; more can be hashed afterwards.
        public func finalize() -> Digest { hash.finalize().withUnsafeBytes { Digest(sha256Raw: $0) } }
    }
}

extension Digest: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The digest of a layer's uncompressed tar (OCI image-spec, config.md, "Layer DiffID").
public struct DiffID: Hashable, Sendable, Codable, CustomStringConvertible {
    public let digest: Digest

    public init(_ digest: Digest) { self.digest = digest }

    public init(from decoder: any Decoder) throws { digest = try Digest(from: decoder) }
    public func encode(to encoder: any Encoder) throws { try digest.encode(to: encoder) }
    public var description: String { digest.description }

    /// The diffID of the tar that holds nothing but its two closing blocks.
    public static let empty = DiffID(Digest.sha256([UInt8](repeating: 0, count: 1024)))
}

/// The identity of a layer together with everything below it (OCI image-spec, config.md, "Layer ChainID").
public struct ChainID: Hashable, Sendable, CustomStringConvertible {
    public let digest: Digest

    public init(_ digest: Digest) { self.digest = digest }

    /// The chain that `diffID` makes on top of `parent`.
    public init(_ diffID: DiffID, on parent: ChainID?) {
        guard let parent else {
            digest = diffID.digest
            return
        }
        digest = Digest.sha256("\(parent.digest) \(diffID.digest)")
    }

    /// One chainID a layer, bottom first.
    public static func chain(_ diffIDs: [DiffID]) -> [ChainID] {
        var last: ChainID?
        return diffIDs.map { diffID in
            let next = ChainID(diffID, on: last)
            last = next
            return next
        }
    }

    public var description: String { digest.description }
}
