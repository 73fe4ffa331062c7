// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

let slash = UInt8(ascii: "/")
let dot = UInt8(ascii: ".")

extension RawPath {
    /// The path relative to an archive's root: leading `/`, `.` components and doubled slashes removed. Empty for the
    /// root itself. A `..` component or a NUL is an error that names the entry.
    ///
    /// Nothing is folded: `a/../b` is refused rather than rewritten, because what `a` is decides what it means.
    func relativeToRoot() throws(ArchiveError) -> RawPath {
        if isCanonical { return self }
        var out = [UInt8]()
        out.reserveCapacity(bytes.count)
        for component in bytes.split(separator: slash) {
            if component.elementsEqual([dot]) { continue }
            if component.elementsEqual([dot, dot]) {
                throw ArchiveError(.unsafePath, "\"\(self)\" has a \"..\" component")
            }
            if component.contains(0) { throw ArchiveError(.malformed, "\"\(self)\" contains a NUL byte") }
            if !out.isEmpty { out.append(slash) }
            out += component
        }
        return RawPath(bytes: out)
    }

    /// Whether nothing needs to be stripped or refused; the usual case, decided without allocating.
    private var isCanonical: Bool {
        bytes.withUnsafeBufferPointer { bytes in
            guard let last = bytes.last, last != slash else { return false }
            var previous = slash
            for byte in bytes {
                // A component that starts with a dot is left to the careful path.
                if byte == 0 || (previous == slash && (byte == slash || byte == dot)) { return false }
                previous = byte
            }
            return true
        }
    }

    /// Whether a component begins with `.wh.`, as the markers of removed files do. Decided without allocating.
    var mayHoldMarker: Bool {
        bytes.hasPrefix(".wh.")
            || bytes.indices.contains { bytes[$0] == slash && bytes[($0 + 1)...].hasPrefix(".wh.") }
    }

    /// Splits a path without trailing slash into its parent (empty for the root) and its last name.
    func splitParent() -> (parent: RawPath, name: RawPath) {
        guard let at = bytes.lastIndex(of: slash) else { return (RawPath(bytes: []), self) }
        return (RawPath(bytes: bytes[..<at]), RawPath(bytes: bytes[(at + 1)...]))
    }
}

extension Sequence where Element == UInt8 {
    func hasPrefix(_ prefix: StaticString) -> Bool {
        prefix.withUTF8Buffer { starts(with: $0) }
    }
}
