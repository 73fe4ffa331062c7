// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A file name or path as the kernel has it: bytes without NUL, not necessarily UTF-8.
public struct RawPath: Hashable, Sendable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
    public var bytes: [UInt8]

    public init(_ text: some StringProtocol) { bytes = Array(text.utf8) }
    public init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
    public init(stringLiteral value: String) { self.init(value) }

    /// Invalid UTF-8 is shown with replacement characters.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
    public var isEmpty: Bool { bytes.isEmpty }

    /// Byte order.
    public static func < (a: RawPath, b: RawPath) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    /// The names between slashes; empty names and `.` are left out.
    public var components: [RawPath] {
        bytes.split(separator: UInt8(ascii: "/")).compactMap { $0.elementsEqual([0x2e]) ? nil : RawPath(bytes: $0) }
    }

    public var lastComponent: RawPath? { components.last }

    /// `self/name`; no slash is added to an empty path or after one.
    public func appending(_ name: RawPath) -> RawPath {
        if bytes.isEmpty { return name }
        var joined = RawPath(bytes: [])
        joined.bytes.reserveCapacity(bytes.count + 1 + name.bytes.count)
        joined.bytes += bytes
        if joined.bytes.last != UInt8(ascii: "/") { joined.bytes.append(UInt8(ascii: "/")) }
        joined.bytes += name.bytes
        return joined
    }

    public func appending(_ name: String) -> RawPath { appending(RawPath(name)) }

    /// Calls `body` with the NUL-terminated path. A path with a NUL inside is refused by the kernel as too short;
    /// callers that take names from outside check `containsNUL`.
    public func withCString<R, E: Error>(_ body: (UnsafePointer<CChar>) throws(E) -> R) throws(E) -> R {
        var result: Result<R, E>?
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { terminated in
            guard let base = terminated.baseAddress else { return }
            bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(terminated).copyMemory(from: $0) }
            terminated[bytes.count] = 0
            do throws(E) { result = .success(try body(base)) } catch { result = .failure(error) }
        }
        guard let result else { preconditionFailure("a NUL-terminated buffer has a base address") }
        return try result.get()
    }

    public var containsNUL: Bool { bytes.contains(0) }
}
