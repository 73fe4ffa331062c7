// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// An image name: `[domain/]path[:tag][@digest]`, normalised as Docker does (distribution reference grammar).
///
/// `alpine` becomes `docker.io/library/alpine`; `description` keeps the full form, `familiar` the short one.
public struct Reference: Hashable, Sendable, CustomStringConvertible {
    /// Host and port of the registry, `docker.io` when none was written.
    public let domain: String
    /// Path of the repository below the registry, like `library/alpine`.
    public let path: String
    public var tag: String?
    public var digest: Digest?

    public init(domain: String, path: String, tag: String? = nil, digest: Digest? = nil) {
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest
    }

    public init(_ text: String) throws(OCIError) {
        func invalid(_ why: String) -> OCIError {
            OCIError(.invalidReference, "invalid reference format: \"\(text)\": \(why)")
        }
        var rest = Substring(text)
        guard !rest.isEmpty else { throw invalid("the name is empty") }
        var digest: Digest?
        if let at = rest.firstIndex(of: "@") {
            digest = try Digest(rest[rest.index(after: at)...])
            rest = rest[..<at]
        }
        var tag: String?
        let lastSlash = rest.lastIndex(of: "/")
        if let colon = rest.lastIndex(of: ":"), lastSlash.map({ $0 < colon }) ?? true {
            let text = rest[rest.index(after: colon)...]
            guard Self.isTag(text) else {
                throw invalid("the tag \"\(text)\" must have 1 to 128 letters, digits, '_', '.' or '-'")
            }
            tag = String(text)
            rest = rest[..<colon]
        }
        var domain = Self.defaultDomain
        if let slash = rest.firstIndex(of: "/"), Self.isDomain(rest[..<slash]) {
            domain = String(rest[..<slash])
            rest = rest[rest.index(after: slash)...]
        }
        if domain == "index.docker.io" { domain = Self.defaultDomain }
        let path = domain == Self.defaultDomain && !rest.contains("/") ? "library/\(rest)" : String(rest)
        guard path.utf8.count <= 255 else { throw invalid("the repository name has more than 255 characters") }
        if path.contains(where: \.isUppercase) { throw invalid("repository name must be lowercase") }
        guard path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(Self.isPathComponent) else {
            throw invalid("a repository name has lowercase letters and digits, joined by '.', '_', '__' or '-'")
        }
        if digest == nil, tag == nil, text.utf8.count == 64, text.utf8.allSatisfy(Self.isHexDigit) {
            throw invalid("64 hex digits are an image id, not a name")
        }
        self.init(domain: domain, path: path, tag: tag, digest: digest)
    }

    public static let defaultDomain = "docker.io"

    public var description: String { name + (tag.map { ":" + $0 } ?? "") + (digest.map { "@\($0)" } ?? "") }

    /// Domain and path, without tag and digest.
    public var name: String { "\(domain)/\(path)" }

    /// The name as people write it: no `docker.io/library/`.
    public var familiarName: String {
        guard domain == Self.defaultDomain else { return name }
        let components = path.split(separator: "/")
        if components.count == 2, components[0] == "library" { return String(components[1]) }
        // Without the domain, a first component that looks like a host would be read as one.
        if let first = components.first, components.count > 1, Self.isDomain(first) { return name }
        return path
    }

    /// The shortest form that parses to the same reference.
    public var familiar: String { familiarName + (tag.map { ":" + $0 } ?? "") + (digest.map { "@\($0)" } ?? "") }

    /// This reference with the tag `latest` when it has neither tag nor digest.
    public var withDefaultTag: Reference {
        guard tag == nil, digest == nil else { return self }
        return Reference(domain: domain, path: path, tag: "latest")
    }

    /// What a registry is asked for: the digest when there is one, else the tag.
    public var tagOrDigest: String { digest?.description ?? tag ?? "latest" }

    private static func isTag(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, (1...128).contains(text.utf8.count) else { return false }
        func isWord(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f
        }
        return isWord(first) && text.utf8.allSatisfy { isWord($0) || $0 == 0x2e || $0 == 0x2d }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }

    /// The part before the first slash is a host only if it looks like one: has a dot or a port, or is `localhost`.
    private static func isDomain(_ text: Substring) -> Bool {
        guard text.contains(".") || text.contains(":") || text == "localhost" || text.contains(where: \.isUppercase)
        else { return false }
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return false }
            let address = text[text.index(after: text.startIndex)..<end]
            guard !address.isEmpty, address.allSatisfy({ ($0.isASCII && $0.isHexDigit) || $0 == ":" }) else {
                return false
            }
            return isPort(text[text.index(after: end)...])
        }
        let host = text.prefix { $0 != ":" }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let valid = labels.allSatisfy { label in
            !label.isEmpty && label.first != "-" && label.last != "-"
                && label.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        }
        return valid && isPort(text[host.endIndex...])
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.isEmpty
            || (text.first == ":" && text.count > 1 && text.dropFirst().allSatisfy { $0.isASCII && $0.isNumber })
    }

    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
    private static func isPathComponent(_ text: Substring) -> Bool {
        var separator: [UInt8] = []
        var seenName = false
        for byte in text.utf8 {
            if (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) {
                let allowed =
                    separator.isEmpty || separator == [0x2e] || separator == [0x5f] || separator == [0x5f, 0x5f]
                    || separator.allSatisfy { $0 == 0x2d }
                guard allowed, seenName || separator.isEmpty else { return false }
                separator = []
                seenName = true
            } else if byte == 0x2e || byte == 0x5f || byte == 0x2d {
                separator.append(byte)
            } else {
                return false
            }
        }
        return seenName && separator.isEmpty
    }
}
