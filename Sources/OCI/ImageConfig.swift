// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// An image's configuration (OCI image-spec config.md, and the fields that Docker adds).
///
/// A lens over the JSON document: fields without an accessor here survive reading and writing.
public struct ImageConfig: Hashable, Sendable {
    public var document: JSONValue

    /// An empty configuration for `platform`.
    public init(platform: Platform = .host) {
        document = .object([:])
        self.platform = platform
        document["rootfs"] = ["type": "layers", "diff_ids": []]
        document["config"] = .object([:])
    }

    public init(parsing bytes: [UInt8]) throws(OCIError) {
        document = try JSONValue(parsing: bytes)
        guard document.objectValue != nil else {
            throw OCIError(.invalidDocument, "the image config is not a JSON object")
        }
        let diffIDs = document["rootfs"]?["diff_ids"] ?? .null
        guard diffIDs == .null || diffIDs.arrayValue != nil else {
            throw OCIError(.invalidDocument, "\"rootfs.diff_ids\" of the image config is not a JSON array")
        }
        for diffID in diffIDs.arrayValue ?? [] {
            guard let text = diffID.stringValue else {
                throw OCIError(.invalidDocument, "the image config has a diff_id that is not a string")
            }
            _ = try Digest(text)
        }
        if let config = document["config"], config != .null, config.objectValue == nil {
            throw OCIError(.invalidDocument, "\"config\" of the image config is not a JSON object")
        }
    }

    public func encoded() -> [UInt8] { document.encoded() }

    public var platform: Platform {
        get {
            var platform = Platform(
                os: document["os"]?.stringValue ?? "linux",
                architecture: document["architecture"]?.stringValue ?? Platform.host.architecture,
                variant: document["variant"]?.stringValue
            )
            platform.osVersion = document["os.version"]?.stringValue
            return platform
        }
        set {
            document["os"] = .string(newValue.os)
            document["architecture"] = .string(newValue.architecture)
            document["variant"] = newValue.variant.map(JSONValue.string)
            document["os.version"] = newValue.osVersion.map(JSONValue.string)
        }
    }

    /// RFC 3339 time of creation.
    public var created: String? {
        get { document["created"]?.stringValue }
        set { document["created"] = newValue.map(JSONValue.string) }
    }

    public var author: String? {
        get { document["author"]?.stringValue }
        set { document["author"] = newValue.map(JSONValue.string) }
    }

    /// Layers bottom first. Malformed entries cannot occur: parsing refuses them.
    public var diffIDs: [DiffID] {
        get {
            (document["rootfs"]?["diff_ids"]?.arrayValue ?? []).compactMap { value in
                guard let text = value.stringValue, let digest = try? Digest(text) else { return nil }
                return DiffID(digest)
            }
        }
        set {
            document["rootfs"] = ["type": "layers", "diff_ids": .array(newValue.map { .string($0.description) })]
        }
    }

    public var history: [History] {
        get { (document["history"]?.arrayValue ?? []).map(History.init(document:)) }
        set { document["history"] = .array(newValue.map(\.document)) }
    }

    /// `KEY=value` strings, in order.
    public var env: [String] {
        get { strings("Env") ?? [] }
        set { setStrings("Env", newValue.isEmpty ? nil : newValue) }
    }

    public var entrypoint: [String]? {
        get { strings("Entrypoint") }
        set { setStrings("Entrypoint", newValue) }
    }

    public var cmd: [String]? {
        get { strings("Cmd") }
        set { setStrings("Cmd", newValue) }
    }

    public var shell: [String]? {
        get { strings("Shell") }
        set { setStrings("Shell", newValue) }
    }

    public var onBuild: [String] {
        get { strings("OnBuild") ?? [] }
        set { setStrings("OnBuild", newValue.isEmpty ? nil : newValue) }
    }

    public var user: String {
        get { string("User") ?? "" }
        set { setString("User", newValue) }
    }

    /// Empty when none was set; then it means `/`.
    public var workingDirectory: String {
        get { string("WorkingDir") ?? "" }
        set { setString("WorkingDir", newValue) }
    }

    public var stopSignal: String {
        get { string("StopSignal") ?? "" }
        set { setString("StopSignal", newValue) }
    }

    public var labels: [String: String] {
        get { (document["config"]?["Labels"]?.objectValue ?? [:]).compactMapValues(\.stringValue) }
        set { setRuntime("Labels", newValue.isEmpty ? nil : .object(newValue.mapValues(JSONValue.string))) }
    }

    /// `8080/tcp` and the like.
    public var exposedPorts: Set<String> {
        get { Set((document["config"]?["ExposedPorts"]?.objectValue ?? [:]).keys) }
        set { setRuntime("ExposedPorts", Self.set(newValue)) }
    }

    public var volumes: Set<String> {
        get { Set((document["config"]?["Volumes"]?.objectValue ?? [:]).keys) }
        set { setRuntime("Volumes", Self.set(newValue)) }
    }

    public var healthcheck: JSONValue? {
        get { document["config"]?["Healthcheck"] }
        set { setRuntime("Healthcheck", newValue) }
    }

    /// The value of a variable in `env`; the last one wins.
    public func environment(_ name: String) -> String? {
        // Byte by byte: a combining character after `=` is one grapheme with it.
        let prefix = Array((name + "=").utf8)
        return env.last { $0.utf8.starts(with: prefix) }.map {
            String(decoding: $0.utf8.dropFirst(prefix.count), as: UTF8.self)
        }
    }

    private static func set(_ names: Set<String>) -> JSONValue? {
        names.isEmpty ? nil : .object(Dictionary(names.map { ($0, .object([:])) }, uniquingKeysWith: { a, _ in a }))
    }

    private func string(_ key: String) -> String? { document["config"]?[key]?.stringValue }

    private mutating func setString(_ key: String, _ value: String) {
        setRuntime(key, value.isEmpty ? nil : .string(value))
    }

    private func strings(_ key: String) -> [String]? {
        document["config"]?[key]?.arrayValue?.compactMap(\.stringValue)
    }

    private mutating func setStrings(_ key: String, _ value: [String]?) {
        setRuntime(key, value.map { .array($0.map(JSONValue.string)) })
    }

    private mutating func setRuntime(_ key: String, _ value: JSONValue?) {
        var config = document["config"] ?? .object([:])
        config[key] = value
        document["config"] = config
    }
}

/// One line of `docker history`.
public struct History: Hashable, Sendable {
    public var document: JSONValue

    public init(
        created: String?,
        createdBy: String,
        comment: String? = nil,
        author: String? = nil,
        emptyLayer: Bool = false
    ) {
        document = .object([:])
        document["created"] = created.map(JSONValue.string)
        document["created_by"] = .string(createdBy)
        document["comment"] = comment.map(JSONValue.string)
        document["author"] = author.map(JSONValue.string)
        if emptyLayer { document["empty_layer"] = true }
    }

    init(document: JSONValue) { self.document = document }

    public var created: String? { document["created"]?.stringValue }
    public var createdBy: String { document["created_by"]?.stringValue ?? "" }
    public var comment: String { document["comment"]?.stringValue ?? "" }
    /// True for a step that made no layer.
    public var emptyLayer: Bool { document["empty_layer"]?.boolValue ?? false }
}
