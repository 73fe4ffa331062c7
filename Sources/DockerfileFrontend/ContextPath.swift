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

    /// Whether the path leads above where it starts at any point.
    static func escapes(_ path: String) -> Bool {
        var depth = 0
        for component in components(path) {
            depth += component.elementsEqual("..".utf8) ? -1 : 1
            if depth < 0 { return true }
        }
        return false
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
