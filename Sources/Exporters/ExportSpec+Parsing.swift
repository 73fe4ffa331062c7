// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import LinuxSystem
import OCI

extension ExportSpec {
    /// Parses the value of `--output`: `type=oci,dest=image.tar,...`, a directory (`type=local`), or `-` (`type=tar` to
    /// standard output). Fields with commas are quoted as in CSV.
    public init(parsing text: String) throws {
        guard !text.isEmpty else { throw Self.bad("--output needs a value, like type=oci,dest=image.tar") }
        if text == "-" {
            self.init(kind: .tar, destination: .descriptor(1))
            return
        }
        let record: CSVRecord
        do { record = try CSVRecord(text) } catch { throw Self.bad("--output: \(error.rawValue) in \(text)") }
        if record.fields.count == 1, !text.contains("=") {
            self.init(kind: .local, destination: .file(RawPath(text)))
            return
        }
        var values: [(key: String, value: String)] = []
        for field in record.fields {
            guard let value = field.value else { throw Self.bad("--output: \"\(field.text)\" is not key=value") }
            let key = Substring(field.key).trimmed
            values.append((key.hasPrefix("annotation") ? key : key.lowercased(), value))
        }
        guard let type = values.last(where: { $0.key == "type" })?.value else {
            throw Self.bad("--output needs a type, one of: \(Self.types.joined(separator: ", "))")
        }
        switch type {
        case "image", "registry": self.init(kind: .image)
        case "oci": self.init(kind: .oci)
        case "docker": self.init(kind: .docker)
        case "tar": self.init(kind: .tar)
        case "local": self.init(kind: .local)
        case "cacheonly": self.init(kind: .cacheOnly)
        default: throw Self.unknown("output type", type, Self.types)
        }
        push = type == "registry"
        for (key, value) in values where key != "type" { try set(key, value, type) }
        try validate()
    }

    private static let types = ["image", "registry", "oci", "docker", "tar", "local", "cacheonly"]
    private static let imageKeys = [
        "name", "compression", "compression-level", "force-compression", "oci-mediatypes", "annotation.",
        "source-date-epoch", "rewrite-timestamp",
    ]
    private static let pushKeys = ["push", "push-by-digest"]
    private static let unsupported: Set<String> = [
        "unpack", "store", "registry.insecure", "name-canonical", "dangling-name-prefix", "danging-name-empty-only",
        "oci-artifact", "attestation-inline", "attestation-prefix", "prefer-nondist-layers",
        "platform-split", "mode", "compatibility-version", "buildinfo", "buildinfo-attrs",
    ]

    private var keys: [String] {
        switch kind {
        case .image: Self.imageKeys + Self.pushKeys
        case .oci, .docker: ["dest", "tar"] + Self.imageKeys
        case .tar, .local: ["dest", "source-date-epoch"]
        case .cacheOnly: []
        }
    }

    private mutating func set(_ key: String, _ value: String, _ type: String) throws {
        if kind != .cacheOnly, Self.unsupported.contains(key) { throw Self.notYet("--output: \(key)") }
        if key.hasPrefix("annotation"), keys.contains("annotation.") { return try setAnnotation(key, value) }
        guard kind != .cacheOnly else { throw Self.bad("--output: type=cacheonly takes no key, and got \"\(key)\"") }
        guard keys.contains(key) else {
            throw Self.unknown("key of type=\(type)", key, keys.map { $0 == "annotation." ? "annotation.<name>" : $0 })
        }
        switch key {
        case "dest":
            guard !value.isEmpty else { throw Self.bad("--output: dest is empty") }
            destination = value == "-" ? .descriptor(1) : .file(RawPath(value))
        case "name":
            names += try value.split(separator: ",").map { try Reference($0.trimmed) }
        case "push": push = try Self.boolean(key, value)
        case "push-by-digest": pushByDigest = try Self.boolean(key, value)
        case "tar": isArchive = try Self.boolean(key, value)
        case "oci-mediatypes": layers.ociMediaTypes = try Self.boolean(key, value)
        case "source-date-epoch": epoch = try Self.epoch(value)
        case "rewrite-timestamp": rewritesTimestamps = try Self.boolean(key, value)
        case "force-compression": layers.force = try Self.boolean(key, value)
        case "compression":
            if value == "estargz" { throw Self.notYet("--output: compression=estargz") }
            guard let compression = MediaType.Compression(rawValue: value) else {
                throw Self.unknown("compression", value, MediaType.Compression.allCases.map(\.rawValue))
            }
            layers.compression = compression
        default:
            guard let level = Int32(value) else { throw Self.bad("--output: \(key)=\(value) is not a number") }
            layers.level = level
        }
    }

    /// `annotation.<key>` and `annotation-manifest.<key>` mean the same here; other places do not exist yet.
    private mutating func setAnnotation(_ key: String, _ value: String) throws {
        for prefix in ["annotation.", "annotation-manifest."] where key.hasPrefix(prefix) {
            let name = String(key.dropFirst(prefix.count))
            guard !name.isEmpty else { throw Self.bad("--output: \(key) names no annotation") }
            annotations[name] = value
            return
        }
        throw Self.notYet("--output: \(key)")
    }

    /// Nothing after the equals sign takes the build's own epoch back, as in BuildKit.
    private static func epoch(_ value: String) throws -> EpochChoice {
        if value.isEmpty { return .none }
        // RFC 3339, in which configs tell times, ends with the year 9999.
        guard let seconds = Int64(value), (0...253_402_300_799).contains(seconds) else {
            throw bad(
                "--output: invalid source-date-epoch: \(value)",
                "give seconds since 1970, or nothing for no epoch"
            )
        }
        return .at(seconds)
    }

    private mutating func validate() throws {
        if kind == .cacheOnly { return }
        if kind == .image {
            if pushByDigest { push = true }
        } else if destination == nil {
            guard kind != .local else { throw Self.bad("--output: type=local needs dest=<directory>") }
            destination = .descriptor(1)
        }
        if kind == .local || !isArchive, case .descriptor? = destination {
            throw Self.bad("--output: a directory cannot be written to standard output", "give dest=<directory>")
        }
        if layers.compression == .zstd, !layers.ociMediaTypes {
            throw Self.bad("--output: compression=zstd needs oci-mediatypes=true")
        }
        if !annotations.isEmpty, !layers.ociMediaTypes {
            throw Self.bad("--output: annotations need oci-mediatypes=true")
        }
        guard let level = layers.level else { return }
        let range: ClosedRange<Int32> = layers.compression == .zstd ? 0...22 : 0...9
        guard layers.compression != .none, range.contains(level) else {
            throw Self.bad(
                "--output: compression-level=\(level) is not possible with compression=\(layers.compression.rawValue)",
                "gzip has the levels 0 to 9, zstd 0 to 22"
            )
        }
    }

    // MARK: Text

    private static func boolean(_ key: String, _ value: String) throws -> Bool {
        // The spellings that Go's strconv.ParseBool takes.
        switch value {
        case "1", "t", "T", "true", "TRUE", "True": return true
        case "0", "f", "F", "false", "FALSE", "False": return false
        default: throw bad("--output: \(key)=\(value) is neither true nor false")
        }
    }

    private static func unknown(_ what: String, _ text: String, _ known: [String]) -> ExportError {
        let close = known.min { distance($0, text) < distance($1, text) }
        let hint = close.flatMap { distance($0, text) <= max(1, text.count / 3) ? "did you mean \"\($0)\"? " : nil }
        return bad(
            "--output: unknown \(what) \"\(text)\"",
            (hint ?? "") + "possible: " + known.joined(separator: ", ")
        )
    }

    /// Edit distance.
    private static func distance(_ a: String, _ b: String) -> Int {
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let next = min(row[j] + 1, row[j + 1] + 1, diagonal + (x == y ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[b.count]
    }

    private static func notYet(_ what: String) -> ExportError {
        ExportError(.unsupported, "\(what) is not supported yet")
    }

    private static func bad(_ message: String, _ next: String? = nil) -> ExportError {
        ExportError(.badOption, message, nextStep: next)
    }
}

extension Substring {
    fileprivate var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
