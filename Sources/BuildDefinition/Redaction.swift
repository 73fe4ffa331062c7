// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A text with `https://user:password@host` in it, the passwords left out.
public func withoutPassword(_ text: String) -> String {
    var result = ""
    var rest = text[...]
    while let scheme = rest.firstRange(of: "://") {
        result += rest[..<scheme.upperBound]
        rest = rest[scheme.upperBound...]
        let authority = rest.prefix { !"/?#' \"".contains($0) }
        guard let at = authority.lastIndex(of: "@") else { continue }
        result += authority[..<at].contains(":") ? "***@" : authority[...at]
        rest = rest[rest.index(after: at)...]
    }
    return result + rest
}
