// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A URL cut at its authority (RFC 3986, 3.2), by bytes: to a search by characters a slash before a combining mark is
/// no slash, and two readers of one URL must never see two hosts.
public struct URLAuthority: Hashable, Sendable {
    /// With `://`.
    public let scheme: String
    /// What stands before the last `@`, percent-encoded; nil when there is none.
    public let userInformation: String?
    /// Host and port.
    public let host: String
    /// Path, query and fragment.
    public let rest: String

    /// Nil for a text without `://`.
    public init?(_ url: String) {
        guard mayHoldURL(url) else { return nil }
        let bytes = Array(url.utf8)
        guard let mark = schemeMark(in: bytes[...]) else { return nil }
        let authority = bytes[mark.upperBound...].prefix { !Self.endsAuthority($0) }
        scheme = String(decoding: bytes[..<mark.upperBound], as: UTF8.self)
        rest = String(decoding: bytes[authority.endIndex...], as: UTF8.self)
        if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
            userInformation = String(decoding: authority[..<at], as: UTF8.self)
            host = String(decoding: authority[(at + 1)...], as: UTF8.self)
        } else {
            userInformation = nil
            host = String(decoding: authority, as: UTF8.self)
        }
    }

    public var isWeb: Bool { ["http://", "https://"].contains(scheme.lowercased()) }

    /// The URL without who asks.
    public var withoutUser: String { scheme + host + rest }

    static func endsAuthority(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "#")
    }
}

/// A text with URLs in it, what identifies their user left out: of web addresses all of it, since a token stands where
/// others have a name; else the password. Addresses stay usable: for what is shown there is ``shownText(_:)``.
public func withoutPassword(_ text: String) -> String { redacted(text, cutsQueries: false) }

/// A text with URLs in it as messages, names of steps and history have it: as ``withoutPassword(_:)``, and of web
/// addresses no query, where signed ones carry their secrets, and no fragment; both of a git repository only as far as
/// they say what is wanted of it. A URL ends at white space, `"`, `<` and `>`.
public func shownText(_ text: String) -> String { redacted(text, cutsQueries: true) }

/// As ``shownText(_:)`` for what is one URL as a whole, whatever characters it has.
public func shownURL(_ url: String) -> String {
    guard let address = URLAuthority(url), address.isWeb else { return withoutPassword(url) }
    let parts = WebParts(Array(address.rest.utf8)[...]) { _ in false }
    return withoutPassword(url.withoutSuffix(address.rest) + String(decoding: parts.shown, as: UTF8.self))
}

/// Whether `://` is anywhere in a text. Most texts have none, and are looked at for it many times in a build.
public func mayHoldURL(_ text: String) -> Bool {
    var text = text
    return text.withUTF8 { schemeMark(in: UnsafeRawBufferPointer($0)) != nil }
}

/// Where the first `://` is.
private func schemeMark(in bytes: ArraySlice<UInt8>) -> Range<Int>? {
    bytes.withUnsafeBytes { schemeMark(in: $0) }.map { bytes.startIndex + $0..<bytes.startIndex + $0 + 3 }
}

private func schemeMark(in bytes: UnsafeRawBufferPointer) -> Int? {
    let slash = UInt8(ascii: "/")
    var index = 0
    while index + 3 <= bytes.count {
        if bytes[index] == UInt8(ascii: ":"), bytes[index + 1] == slash, bytes[index + 2] == slash { return index }
        index += 1
    }
    return nil
}

private func redacted(_ text: String, cutsQueries: Bool) -> String {
    guard mayHoldURL(text) else { return text }
    var result: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let mark = schemeMark(in: rest) {
        let isWeb = ["http", "https"].contains { rest[..<mark.lowerBound].hasSuffix(ignoringCase: $0) }
        result += rest[..<mark.upperBound]
        rest = rest[mark.upperBound...]
        let authority = rest.prefix { !URLAuthority.endsAuthority($0) }
        if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
            let user = authority[..<at]
            if isWeb || user.contains(UInt8(ascii: ":")) {
                result += Array("***@".utf8)
            } else {
                result += authority[...at]
            }
            rest = rest[(at + 1)...]
        }
        guard isWeb, cutsQueries else { continue }
        let parts = WebParts(rest) { $0 <= 0x20 || $0 == 0x7f || "\"<>".utf8.contains($0) }
        result += parts.shown
        rest = rest[parts.end...]
    }
    return String(decoding: result + rest, as: UTF8.self)
}

/// What follows a web address's scheme, cut at its `?` and `#` (RFC 3986, 3.4 and 3.5).
private struct WebParts {
    let path: ArraySlice<UInt8>
    /// With its `?`; empty when there is none.
    let query: ArraySlice<UInt8>
    /// With its `#`; empty when there is none.
    let fragment: ArraySlice<UInt8>
    let end: Int

    init(_ bytes: ArraySlice<UInt8>, endsURL: (UInt8) -> Bool) {
        let url = bytes.prefix { !endsURL($0) }
        let beforeFragment = url.prefix { $0 != UInt8(ascii: "#") }
        path = beforeFragment.prefix { $0 != UInt8(ascii: "?") }
        query = beforeFragment[path.endIndex...]
        fragment = url[beforeFragment.endIndex...]
        end = url.endIndex
    }

    /// What queries may ask of a repository; BuildKit refuses others.
    private static let gitKeys: Set<String> = [
        "ref", "tag", "branch", "commit", "checksum", "subdir", "submodules", "mtime", "keep-git-dir",
        "fetch-by-commit",
    ]

    var shown: ArraySlice<UInt8> {
        guard path.hasSuffix(ignoringCase: ".git") else { return path }
        let isGit = query.dropFirst().split(separator: UInt8(ascii: "&")).allSatisfy { pair in
            Self.gitKeys.contains(String(decoding: pair.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self))
        }
        return path + (isGit ? query : []) + fragment
    }
}

extension String {
    fileprivate func withoutSuffix(_ suffix: String) -> String {
        String(decoding: Array(utf8).dropLast(suffix.utf8.count), as: UTF8.self)
    }
}

extension ArraySlice<UInt8> {
    fileprivate func hasSuffix(ignoringCase word: String) -> Bool {
        suffix(word.utf8.count).map { $0 | 0x20 }.elementsEqual(word.utf8.map { $0 | 0x20 })
    }
}
