// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

extension GitReference {
    /// The parts of a reference: a URL of a protocol that git speaks, `user@host:path`, or `github.com/...`.
    struct Location {
        var scheme: String
        var remote: String
        var query: [String: [String]]
        /// What follows `#`, percent signs decoded in URLs only.
        var fragment: String?
        var looksLikePath = false

        /// Nil for anything else, a web address that does not end in `.git` included.
        init?(_ text: String) {
            let bytes = Array(text.utf8)
            if bytes.starts(with: "./".utf8) || bytes.starts(with: "../".utf8) { return nil }
            if bytes.starts(with: "github.com/".utf8) {
                guard let url = LenientURL(Array("https://".utf8) + bytes) else { return nil }
                self.init(url)
                remote = String(remote.dropFirst("https://".count))
                looksLikePath = true
            } else if let colon = Self.protocolEnd(bytes) {
                let name = String(decoding: bytes[..<colon], as: UTF8.self).lowercased()
                guard ["http", "https", "ssh", "git"].contains(name), let url = LenientURL(bytes) else { return nil }
                if name.hasPrefix("http"), !url.path.reversed().starts(with: ".git".utf8.reversed()) { return nil }
                self.init(url)
            } else {
                self.init(remoteShell: bytes)
            }
        }

        private init(_ url: LenientURL) {
            scheme = url.scheme
            remote = url.remote
            query = url.query
            fragment = url.fragment
        }

        /// `user@host:path?query#fragment`.
        private init?(remoteShell bytes: [UInt8]) {
            guard let at = bytes.firstIndex(of: UInt8(ascii: "@")), at > 0, bytes[..<at].allSatisfy(Self.isUser),
                let colon = bytes[at...].firstIndex(of: UInt8(ascii: ":")), colon > at + 1,
                bytes[(at + 1)..<colon].allSatisfy(Self.isHost), !bytes.contains(UInt8(ascii: "\n"))
            else { return nil }
            let end = bytes[colon...].firstIndex { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") } ?? bytes.count
            let hash = bytes[end...].firstIndex(of: UInt8(ascii: "#")) ?? bytes.count
            scheme = "ssh"
            remote = String(decoding: bytes[..<end], as: UTF8.self)
            query = [:]
            fragment = hash < bytes.count ? String(decoding: bytes[(hash + 1)...], as: UTF8.self) : nil
            if end < hash {
                guard let pairs = LenientURL.query(bytes[(end + 1)..<hash], strict: true) else { return nil }
                query = pairs
            }
        }

        private static func protocolEnd(_ bytes: [UInt8]) -> Int? {
            let end = bytes.firstIndex { !isLetterOrDigit($0) } ?? bytes.count
            return end > 0 && bytes[end...].starts(with: "://".utf8) ? end : nil
        }

        private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
        }

        private static func isUser(_ byte: UInt8) -> Bool { isLetterOrDigit(byte) || "-_".utf8.contains(byte) }
        private static func isHost(_ byte: UInt8) -> Bool { isLetterOrDigit(byte) || "-.".utf8.contains(byte) }
    }
}

/// A URL taken apart as generously as Go's `net/url` does, and put together again without query and fragment.
struct LenientURL {
    var scheme: String
    /// Percent signs decoded.
    var path: [UInt8]
    var query: [String: [String]] = [:]
    var fragment: String?
    var remote: String

    init?(_ bytes: [UInt8]) {
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }), let colon = bytes.firstIndex(of: UInt8(ascii: ":")),
            bytes[(colon + 1)...].starts(with: "//".utf8)
        else { return nil }
        scheme = String(decoding: bytes[..<colon], as: UTF8.self).lowercased()
        var rest = bytes[(colon + 3)...]
        if let hash = rest.firstIndex(of: UInt8(ascii: "#")) {
            guard let decoded = Self.decoded(rest[(hash + 1)...]) else { return nil }
            fragment = String(decoding: decoded, as: UTF8.self)
            rest = rest[..<hash]
        }
        var endsInMark = false
        if let mark = rest.firstIndex(of: UInt8(ascii: "?")) {
            // A lone question mark at the end stays where it is.
            endsInMark = mark == rest.endIndex - 1
            query = Self.query(rest[(mark + 1)...], strict: false) ?? [:]
            rest = rest[..<mark]
        }
        let slash = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
        guard let authority = Self.authority(rest[..<slash]), let path = Self.decoded(rest[slash...]) else {
            return nil
        }
        self.path = path
        let written = Array(rest[slash...])
        let shown = written.allSatisfy(Self.mayStandInPath) ? written : Self.encoded(path)
        let mark = endsInMark ? "?" : ""
        remote = "\(scheme)://\(authority)\(String(decoding: shown, as: UTF8.self))\(mark)"
    }

    /// `user:password@host:port`, nil when it is malformed.
    private static func authority(_ bytes: ArraySlice<UInt8>) -> String? {
        var host = bytes
        var user = ""
        if let at = bytes.lastIndex(of: UInt8(ascii: "@")) {
            let text = bytes[..<at]
            guard text.allSatisfy(mayStandInUser), decoded(text) != nil else { return nil }
            user = String(decoding: text, as: UTF8.self) + "@"
            host = bytes[(at + 1)...]
        }
        let isAddress = host.first == UInt8(ascii: "[")
        let end = isAddress ? host.lastIndex(of: UInt8(ascii: "]")).map { $0 + 1 } : host.firstIndex(of: 0x3A)
        if isAddress, end == nil { return nil }
        let name = host[..<(end ?? host.endIndex)]
        let port = host[name.endIndex...]
        guard port.isEmpty || port.first == 0x3A && port.dropFirst().allSatisfy({ (0x30...0x39).contains($0) }),
            name.allSatisfy({ mayStandInHost($0) })
        else { return nil }
        return user + String(decoding: host, as: UTF8.self)
    }

    /// The pairs by key; what is malformed is left out, or makes all of it nil when `strict`.
    static func query(_ bytes: ArraySlice<UInt8>, strict: Bool) -> [String: [String]]? {
        var result: [String: [String]] = [:]
        for pair in bytes.split(separator: UInt8(ascii: "&")) {
            let sign = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let key = decoded(pair[..<sign], plusIsBlank: true)
            let value = decoded(pair[sign...].dropFirst(), plusIsBlank: true)
            guard let key, let value, !pair.contains(UInt8(ascii: ";")) else {
                if strict { return nil }
                continue
            }
            result[String(decoding: key, as: UTF8.self), default: []].append(String(decoding: value, as: UTF8.self))
        }
        return result
    }

    private static func decoded(_ bytes: ArraySlice<UInt8>, plusIsBlank: Bool = false) -> [UInt8]? {
        var result: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: "%") {
                guard index + 2 <= bytes.endIndex, let high = digit(bytes[index]), let low = digit(bytes[index + 1])
                else { return nil }
                result.append(high << 4 | low)
                index += 2
            } else {
                result.append(plusIsBlank && byte == UInt8(ascii: "+") ? 0x20 : byte)
            }
        }
        return result
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46, 0x61...0x66: (byte | 0x20) - 0x57
        default: nil
        }
    }

    private static func encoded(_ path: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return path.flatMap { byte -> [UInt8] in
            isWord(byte) || "$&+,/:;=@".utf8.contains(byte)
                ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || "-_.~".utf8.contains(byte)
    }

    private static func mayStandInPath(_ byte: UInt8) -> Bool {
        isWord(byte) || "!$&'()*+,/:;=@[]%".utf8.contains(byte)
    }

    private static func mayStandInUser(_ byte: UInt8) -> Bool { isWord(byte) || "!$&'()*+,;=:%@".utf8.contains(byte) }

    private static func mayStandInHost(_ byte: UInt8) -> Bool {
        isWord(byte) || "!$&'()*+,;=:[]<>\"".utf8.contains(byte) || byte >= 0x80
    }
}
