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

    public let algorithm: Algorithm
    /// Lowercase hex digits, `algorithm.hexLength` of them.
    public let hex: String

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
        self.algorithm = algorithm
        self.hex = String(hex)
    }

    /// The sha256 digest with these 32 bytes.
    public init(sha256Raw bytes: some Collection<UInt8>) {
        precondition(bytes.count == 32, "a sha256 has 32 bytes")
        self.init(sha256Bytes: bytes)
    }

    /// The hash as bytes.
    public var bytes: [UInt8] {
        func nibble(_ byte: UInt8) -> UInt8 { byte < 0x3a ? byte - 0x30 : byte - 0x57 }
        let digits = Array(hex.utf8)
        return stride(from: 0, to: digits.count, by: 2).map { nibble(digits[$0]) << 4 | nibble(digits[$0 + 1]) }
    }

    private init(sha256Bytes bytes: some Sequence<UInt8>) {
        algorithm = .sha256
        hex = Self.hexString(bytes)
    }

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
        (a.algorithm.rawValue, a.hex) < (b.algorithm.rawValue, b.hex)
    }

    static func hexString(_ bytes: some Sequence<UInt8>) -> String {
        var out = [UInt8]()
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] { out.append(nibble < 10 ? 0x30 + nibble : 0x57 + nibble) }
        }
        return String(decoding: out, as: UTF8.self)
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
        public func finalize() -> Digest { Digest(sha256Bytes: hash.finalize()) }
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
