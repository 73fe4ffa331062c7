// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax

/// A `--mount` of RUN, variables replaced and checked.
struct RunMount {
    enum Kind: String, CaseIterable {
        case bind
        case cache
        case tmpfs
        case secret
        case ssh
    }

    private(set) var kind = Kind.bind
    private(set) var from = ""
    private(set) var source = ""
    private(set) var target = ""
    private(set) var isReadOnly = true
    /// Bytes; nil is no limit of its own.
    private(set) var size: Int64?
    private(set) var id = ""
    private(set) var sharing: CacheMount.Sharing?
    private(set) var isRequired = false
    private(set) var environmentName: String?
    private(set) var permissions: UInt32?
    private(set) var uid: UInt32?
    private(set) var gid: UInt32?
    private let range: SourceRange

    /// Fields are taken in order: what one may say depends on the type that stands before it.
    init(_ spec: MountSpec, expand: (Word) throws(LoweringFailure) -> String) throws(LoweringFailure) {
        range = spec.range
        var access: Bool?
        for field in spec.fields {
            guard let word = field.value else {
                switch field.key {
                case "readonly", "ro": access = true
                case "readwrite", "rw": access = false
                default:
                    try requireKind([.secret, .ssh], field)
                    isRequired = true
                }
                continue
            }
            // The stage graph read it as written.
            let value = field.key == "from" ? word.text : try expand(word)
            switch field.key {
            case "readonly", "ro": access = try Self.bool(value, field)
            case "readwrite", "rw": access = try !Self.bool(value, field)
            default: try set(field, value)
            }
        }
        isReadOnly = access ?? ![.cache, .tmpfs].contains(kind)
        try check()
    }

    private mutating func set(_ field: MountSpec.Field, _ value: String) throws(LoweringFailure) {
        switch field.key {
        case "type":
            guard let kind = Kind(rawValue: value.lowercased()) else {
                throw Self.unknown("unsupported mount type", value, Kind.allCases.map(\.rawValue), field)
            }
            self.kind = kind
        case "from": from = value
        case "source", "src": source = value
        case "target", "dst", "destination": target = value
        case "id": id = value
        case "required":
            try requireKind([.secret, .ssh], field)
            isRequired = try Self.bool(value, field)
        case "size":
            try requireKind([.tmpfs], field)
            guard let bytes = ByteCount.parse(value) else {
                throw LoweringFailure("invalid value for size: \(value)", field.range)
            }
            size = bytes == 0 ? nil : bytes
        case "sharing":
            guard let sharing = CacheMount.Sharing(rawValue: value.lowercased()) else {
                throw Self.unknown("unsupported sharing value", value, ["shared", "private", "locked"], field)
            }
            self.sharing = sharing
        case "mode": permissions = try Self.number(value, radix: 8, field)
        case "uid": uid = try Self.number(value, radix: 10, field)
        case "gid": gid = try Self.number(value, radix: 10, field)
        case "env": environmentName = value
        default: throw LoweringFailure("unexpected key '\(field.key)' in '\(field.key)=\(value)'", field.range)
        }
    }

    private func requireKind(_ kinds: [Kind], _ field: MountSpec.Field) throws(LoweringFailure) {
        guard kinds.contains(kind) else {
            throw LoweringFailure(
                "unexpected key '\(field.key)' for mount type '\(kind.rawValue)'",
                field.range,
                nextStep: "It belongs to \(kinds.map { "type=\($0.rawValue)" }.joined(separator: " and ")), "
                    + "which must stand before it."
            )
        }
    }

    private func check() throws(LoweringFailure) {
        if kind == .bind || kind == .tmpfs {
            for (name, value) in [("mode", permissions), ("uid", uid), ("gid", gid)] where value != nil {
                throw LoweringFailure("\(name) not allowed for \"\(kind.rawValue)\" type mounts", range)
            }
        }
        if kind == .secret {
            guard from.isEmpty else { throw LoweringFailure("secret mount should not have a from", range) }
            guard sharing == nil else { throw LoweringFailure("secret mount should not define sharing", range) }
            guard !source.isEmpty || !target.isEmpty || !id.isEmpty else {
                throw LoweringFailure("invalid secret mount. one of source, target required", range)
            }
            guard source.isEmpty || id.isEmpty else {
                throw LoweringFailure("both source and id can't be set", range)
            }
        }
        if sharing != nil, kind != .cache {
            throw LoweringFailure("invalid cache sharing set for \(kind.rawValue) mount", range)
        }
        if kind == .ssh, !source.isEmpty { throw LoweringFailure("ssh does not support source", range) }
        if kind == .cache, from.isEmpty, sourcePath != "/" {
            throw LoweringFailure(
                "the source of a cache mount needs from: \"\(source)\"",
                range,
                nextStep: "Say which stage or image holds it with from=, or remove it."
            )
        }
        if [.bind, .cache, .tmpfs].contains(kind), target.utf8.first == UInt8(ascii: "/") { _ = try path(in: "/") }
    }

    // MARK: - What becomes of it

    /// In the tree that is mounted.
    var sourcePath: String { ContextPath.absolute(source) }

    /// Where it is mounted.
    func path(in workingDirectory: String) throws(LoweringFailure) -> String {
        let path = ContextPath.absolute(target, in: workingDirectory)
        guard path != "/" else { throw LoweringFailure("invalid mount target \"/\"", range) }
        return path
    }

    func cacheMount(namespace: String) -> CacheMount {
        CacheMount(
            id: "\(namespace)/\(id.isEmpty ? Self.cleaned(target) : id)",
            sharing: sharing ?? .shared,
            permissions: permissions ?? 0o755,
            uid: uid ?? 0,
            gid: gid ?? 0
        )
    }

    /// Whether a new cache begins with files: an owner or a mode asks for an empty directory instead.
    var seedsCache: Bool {
        !from.isEmpty && (sourcePath != "/" || permissions == nil && uid == nil && gid == nil)
    }

    var secret: (mount: SecretMount, target: String?) {
        let name = !source.isEmpty ? source : !id.isEmpty ? id : Self.lastComponent(target)
        let mount = SecretMount(
            id: name,
            isRequired: isRequired,
            environmentName: environmentName,
            permissions: permissions ?? 0o400,
            uid: uid ?? 0,
            gid: gid ?? 0
        )
        if !target.isEmpty { return (mount, ContextPath.absolute(target)) }
        return (mount, environmentName == nil ? "/run/secrets/" + Self.lastComponent(name) : nil)
    }

    /// The socket; `index` counts the ssh mounts of the step.
    func ssh(index: Int) -> (mount: SSHMount, target: String) {
        let mount = SSHMount(
            id: id.isEmpty ? "default" : id,
            isRequired: isRequired,
            permissions: permissions ?? 0o600,
            uid: uid ?? 0,
            gid: gid ?? 0
        )
        return (mount, target.isEmpty ? "/run/buildkit/ssh_agent.\(index)" : ContextPath.absolute(target))
    }

    // MARK: - Values

    private static func bool(_ value: String, _ field: MountSpec.Field) throws(LoweringFailure) -> Bool {
        switch value {
        case "1", "t", "T", "true", "TRUE", "True": return true
        case "0", "f", "F", "false", "FALSE", "False": return false
        default: throw LoweringFailure("invalid value for \(field.key): \(value)", field.range)
        }
    }

    private static func number(_ value: String, radix: Int, _ field: MountSpec.Field) throws(LoweringFailure) -> UInt32
    {
        guard value.utf8.first != UInt8(ascii: "+"), let number = UInt32(value, radix: radix) else {
            throw LoweringFailure("invalid value \(value) for \(field.key)", field.range)
        }
        return number
    }

    private static func unknown(_ what: String, _ value: String, _ known: [String], _ field: MountSpec.Field)
        -> LoweringFailure
    {
        LoweringFailure(
            withSuggestion("\(what) \"\(value)\"", for: value, among: known),
            field.range,
            nextStep: "Use one of \(known.joined(separator: ", "))."
        )
    }

    /// The path without `.`, `..` and repeated slashes; a relative one stays so.
    private static func cleaned(_ path: String) -> String {
        if path.utf8.first == UInt8(ascii: "/") { return ContextPath.absolute(path) }
        var kept: [Substring] = []
        for component in path.utf8.split(separator: UInt8(ascii: "/")).map({ Substring($0) }) where component != "." {
            if component == "..", let last = kept.last, last != ".." {
                kept.removeLast()
            } else {
                kept.append(component)
            }
        }
        return kept.isEmpty ? "." : kept.joined(separator: "/")
    }

    private static func lastComponent(_ path: String) -> String {
        path.utf8.split(separator: UInt8(ascii: "/")).last.map { String(Substring($0)) } ?? (path.isEmpty ? "." : "/")
    }
}

/// A number of bytes as Docker writes it: `64m`, `1.5GiB`, `100`.
enum ByteCount {
    static func parse(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        let end = bytes.lastIndex { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") || $0 == 0x20 }
        guard let end else { return nil }
        let number = bytes[..<(bytes[end] == 0x20 ? end : end + 1)]
        guard number.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }),
            let value = Double(String(decoding: number, as: UTF8.self))
        else { return nil }
        let suffix = String(decoding: bytes[(end + 1)...], as: UTF8.self).lowercased()
        let scaled: Double
        if suffix.isEmpty || suffix == "b" {
            scaled = value
        } else {
            guard let power = ["k", "m", "g", "t", "p"].firstIndex(of: String(suffix.prefix(1))),
                ["", "b", "ib"].contains(String(suffix.dropFirst()))
            else { return nil }
            scaled = value * Double(1 << (10 * (power + 1)) as Int64)
        }
        return scaled < 9e18 ? Int64(scaled) : nil
    }
}
