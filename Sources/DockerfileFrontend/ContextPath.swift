// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Rules for the paths that instructions name. All are lexical: nothing is looked up.
///
/// They work on bytes, as the kernel does: to a search by characters a slash before a combining mark is no slash.
enum ContextPath {
    /// The path from the root, without `.`, `..` and repeated slashes; what would lead above the root stays at it.
    static func absolute(_ path: String, in directory: String = "/") -> String {
        var kept: [Substring.UTF8View] = []
        let isAbsolute = path.utf8.first == slash
        for part in isAbsolute ? [path] : [directory, path] {
            for component in components(part) {
                if component.elementsEqual("..".utf8) {
                    _ = kept.popLast()
                } else {
                    kept.append(component)
                }
            }
        }
        return "/" + kept.map { String(Substring($0)) }.joined(separator: "/")
    }

    /// Whether it can stand for one entry of a directory.
    static func isFileName(_ name: String) -> Bool {
        !name.utf8.contains(slash) && !["", ".", ".."].contains(name)
    }

    /// For `--parents`: what stands before `/./`, else the root.
    static func pivot(of source: String) -> String {
        let bytes = Array(source.utf8)
        let mark = Array("/./".utf8)
        guard bytes.count >= mark.count,
            let at = (0...bytes.count - mark.count).first(where: { bytes[$0...].starts(with: mark) })
        else { return "/" }
        return absolute(String(decoding: bytes[..<at], as: UTF8.self))
    }

    /// The path up to the first component with `**`, which stands for any number of directories.
    static func withoutDeepWildcards(_ path: String) -> String {
        let kept = components(path).prefix { !String(Substring($0)).contains("**") }
        return "/" + kept.map { String(Substring($0)) }.joined(separator: "/")
    }

    /// A destination of COPY or ADD: absolute, a trailing slash where a directory is meant.
    static func destination(_ path: String, in directory: String) -> String {
        let absolute = absolute(path, in: directory)
        guard absolute != "/" else { return absolute }
        let last = path.utf8.split(separator: slash, omittingEmptySubsequences: false).last
        let meansDirectory = last.map { $0.isEmpty || $0.elementsEqual(".".utf8) } ?? true
        return meansDirectory ? absolute + "/" : absolute
    }

    private static let slash = UInt8(ascii: "/")

    private static func components(_ path: String) -> [Substring.UTF8View] {
        path[...].utf8.split(separator: slash).filter { !$0.elementsEqual(".".utf8) }
    }
}

/// The little that has to be known of a web address.
enum WebAddress {
    /// The last component of the path, percent signs decoded; nil when there is none.
    static func lastComponent(of url: String) -> String? {
        let bytes = Array(url.utf8.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let rest = bytes[(colon + 1)...].drop { $0 == UInt8(ascii: "/") }
        guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        var path: [UInt8] = []
        var index = slash
        while index < rest.endIndex {
            if rest[index] == UInt8(ascii: "%") {
                let digits = String(decoding: rest[(index + 1)...].prefix(2), as: UTF8.self)
                guard digits.utf8.count == 2, let byte = UInt8(digits, radix: 16), byte != 0 else { return nil }
                path.append(byte)
                index += 3
            } else {
                path.append(rest[index])
                index += 1
            }
        }
        let last = path.split(separator: UInt8(ascii: "/")).last.map { String(decoding: $0, as: UTF8.self) }
        return last.flatMap { ContextPath.isFileName($0) ? $0 : nil }
    }
}
