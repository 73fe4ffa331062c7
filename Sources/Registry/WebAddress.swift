// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// An absolute http or https address, as far as a registry client must look into it (RFC 3986).
struct WebAddress: Hashable, Sendable, CustomStringConvertible {
    enum Scheme: String, Sendable {
        case http
        case https
    }

    var scheme: Scheme
    /// Host and optional port, lowercase, without user information.
    var authority: String
    /// Starts with a slash; percent-encoded.
    var path: String
    /// Without the question mark; percent-encoded.
    var query: String?

    init(scheme: Scheme, authority: String, path: String, query: String? = nil) {
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.query = query
    }

    /// Parses an absolute address, or a reference relative to `base`. Nil for other schemes, and for user information,
    /// which no registry has a reason to send.
    init?(_ text: String, relativeTo base: WebAddress? = nil) {
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }), !text.contains("\\") else { return nil }
        var rest = text.prefix { $0 != "#" }
        var scheme = base?.scheme
        if let end = rest.firstRange(of: "://"), !rest[..<end.lowerBound].contains(where: { "/?".contains($0) }) {
            scheme = Scheme(rawValue: rest[..<end.lowerBound].lowercased())
            rest = rest[rest.index(after: end.lowerBound)...]
        } else if base == nil {
            return nil
        }
        guard let scheme else { return nil }
        if rest.hasPrefix("//") {
            let afterSlashes = rest.dropFirst(2)
            let authority = afterSlashes.prefix { $0 != "/" && $0 != "?" }
            guard !authority.isEmpty, !authority.contains("@") else { return nil }
            let parts = Self.split(authority: String(authority))
            guard !parts.host.isEmpty, parts.isValid else { return nil }
            let target = Self.splitQuery(afterSlashes[authority.endIndex...])
            self.init(
                scheme: scheme,
                authority: authority.lowercased(),
                path: target.path.isEmpty ? "/" : target.path,
                query: target.query
            )
            return
        }
        guard let base else { return nil }
        let target = Self.splitQuery(rest)
        var path = target.path
        if path.isEmpty {
            path = base.path
        } else if !path.hasPrefix("/") {
            path = base.path[...(base.path.lastIndex(of: "/") ?? base.path.startIndex)] + path
        }
        self.init(
            scheme: base.scheme,
            authority: base.authority,
            path: Self.removingDotSegments(path),
            query: target.query ?? (target.path.isEmpty ? base.query : nil)
        )
    }

    var description: String { "\(scheme)://\(authority)\(path)\(query.map { "?" + $0 } ?? "")" }

    /// Scheme, host and port with the default filled in: what "the same origin" compares.
    var origin: String { "\(scheme)://\(host):\(port)" }

    var host: String { Self.split(authority: authority).host }
    var port: Int { Self.split(authority: authority).port ?? (scheme == .https ? 443 : 80) }
    var isLoopback: Bool { Self.isLoopback(host) }

    /// Adds `name=value`, percent-encoding the value.
    func adding(_ name: String, _ value: String) -> WebAddress {
        var copy = self
        let item = "\(name)=\(Self.percentEncoded(value))"
        copy.query = query.map { $0.isEmpty ? item : "\($0)&\(item)" } ?? item
        return copy
    }

    /// Everything but RFC 3986's unreserved characters becomes %XX.
    static func percentEncoded(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.unicodeScalars.append(.init(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                out += hex.count == 1 ? "%0\(hex)" : "%\(hex)"
            }
        }
        return out
    }

    static func split(authority: String) -> (host: String, port: Int?, isValid: Bool) {
        let host: Substring
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            host = authority[...end]
        } else {
            host = authority.prefix { $0 != ":" }
        }
        let rest = authority[host.endIndex...]
        if rest.isEmpty { return (host.lowercased(), nil, true) }
        guard rest.first == ":", let port = UInt16(rest.dropFirst()) else { return (host.lowercased(), nil, false) }
        return (host.lowercased(), Int(port), true)
    }

    /// `localhost`, 127.0.0.0/8 and [::1].
    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "[::1]" || host == "::1" { return true }
        let bytes = host.split(separator: ".", omittingEmptySubsequences: false)
        return bytes.count == 4 && bytes[0] == "127" && bytes.allSatisfy { UInt8($0) != nil }
    }

    private static func splitQuery(_ text: Substring) -> (path: String, query: String?) {
        guard let mark = text.firstIndex(of: "?") else { return (String(text), nil) }
        return (String(text[..<mark]), String(text[text.index(after: mark)...]))
    }

    /// RFC 3986, 5.2.4.
    private static func removingDotSegments(_ path: String) -> String {
        var out: [Substring] = []
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        for (position, segment) in segments.enumerated() {
            let isLast = position == segments.count - 1
            switch segment {
            case ".": if isLast { out.append("") }
            case "..":
                _ = out.popLast()
                if isLast { out.append("") }
            default: out.append(segment)
            }
        }
        return "/" + out.joined(separator: "/")
    }
}
