// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Rules for the paths that instructions name. All are lexical: nothing is looked up.
enum ContextPath {
    /// The path from the root, without `.`, `..` and repeated slashes; what would lead above the root stays at it.
    static func absolute(_ path: String, in directory: String = "/") -> String {
        let joined = path.hasPrefix("/") ? path : directory + "/" + path
        var kept: [Substring] = []
        for component in joined.split(separator: "/") where component != "." {
            if component == ".." {
                _ = kept.popLast()
            } else {
                kept.append(component)
            }
        }
        return "/" + kept.joined(separator: "/")
    }

    /// Whether a relative path leads above where it starts, however it continues.
    static func escapes(_ path: String) -> Bool {
        var depth = 0
        for component in path.split(separator: "/") where component != "." {
            depth += component == ".." ? -1 : 1
            if depth < 0 { return true }
        }
        return false
    }

    /// A destination of COPY or ADD: absolute, a trailing slash where a directory is meant.
    static func destination(_ path: String, in directory: String) -> String {
        let absolute = absolute(path, in: directory)
        let meansDirectory = path.isEmpty || path == "." || path.hasSuffix("/") || path.hasSuffix("/.")
        return meansDirectory && absolute != "/" ? absolute + "/" : absolute
    }
}
