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
        let bytes = Array(url.utf8)
        guard let mark = bytes.firstRange(of: "://".utf8) else { return nil }
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
/// others have a name; else the password.
public func withoutPassword(_ text: String) -> String {
    var result: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let mark = rest.firstRange(of: "://".utf8) {
        let isWeb = ["http", "https"].contains { rest[..<mark.lowerBound].hasSuffix(ignoringCase: $0) }
        result += rest[..<mark.upperBound]
        rest = rest[mark.upperBound...]
        let authority = rest.prefix { !URLAuthority.endsAuthority($0) }
        guard let at = authority.lastIndex(of: UInt8(ascii: "@")) else { continue }
        let user = authority[..<at]
        if isWeb || user.contains(UInt8(ascii: ":")) {
            result += Array("***@".utf8)
        } else {
            result += authority[...at]
        }
        rest = rest[(at + 1)...]
    }
    return String(decoding: result + rest, as: UTF8.self)
}

extension ArraySlice<UInt8> {
    fileprivate func hasSuffix(ignoringCase word: String) -> Bool {
        suffix(word.utf8.count).map { $0 | 0x20 }.elementsEqual(word.utf8)
    }
}
