// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import FoundationEssentials
import LinuxSystem
import OCI

/// Docker's client configuration, as far as registries' credentials are concerned. Fields that are not known are kept.
public struct DockerConfigFile: Sendable {
    public let path: String
    var json: JSONValue

    private static let sizeLimit = 4 << 20

    /// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    public static var defaultPath: String {
        let environment = ProcessInfo.processInfo.environment
        if let directory = environment["DOCKER_CONFIG"], !directory.isEmpty { return "\(directory)/config.json" }
        return "\(environment["HOME"] ?? "/root")/.docker/config.json"
    }

    /// Reads the file; one that does not exist is an empty configuration.
    public init(path: String = DockerConfigFile.defaultPath) throws {
        self.path = path
        do {
            json = try JSONValue(parsing: readFile(RawPath(path), limit: Self.sizeLimit))
        } catch let error as SystemError where error.isNotFound {
            json = .object([:])
        } catch {
            // The parser's words may quote the file, and with it a secret.
            let reason = (error as? SystemError)?.reason ?? "it is not valid JSON"
            throw RegistryError(.credentialStore, "cannot read \(path): \(reason)")
        }
        guard json.objectValue != nil else {
            throw RegistryError(.credentialStore, "cannot read \(path): it is not a JSON object")
        }
    }

    /// Writes the file for its owner alone, whole or not at all. Where `path` is a symbolic link, its target is replaced.
    public func save() throws {
        do {
            let target = try Self.followingLinks(RawPath(path))
            if let slash = target.bytes.lastIndex(of: UInt8(ascii: "/")), slash > 0 {
                try makeDirectories(RawPath(bytes: target.bytes[..<slash]), mode: 0o700)
            }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try replaceFile(target, Array(encoder.encode(json)) + [0x0a], mode: 0o600)
        } catch let error as SystemError {
            throw RegistryError(.credentialStore, "cannot write \(path): \(error.reason)", cause: error)
        }
    }

    private static func followingLinks(_ path: RawPath) throws -> RawPath {
        var path = path
        for _ in 0..<16 {
            guard let target = try? readLink(path) else { return path }
            let directory = path.bytes[..<(path.bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)]
            path = target.bytes.first == UInt8(ascii: "/") ? target : RawPath(bytes: directory + target.bytes)
        }
        throw SystemError(errno: 40, operation: "readlink", path: path.description)
    }

    // MARK: - Entries

    /// The key that docker's own `login` writes.
    static func key(_ host: String) -> String {
        RegistryEndpoint.dockerHubNames.contains(host) ? "https://index.docker.io/v1/" : host
    }

    /// The program that keeps credentials for `host`: the suffix after `docker-credential-`.
    func helper(for host: String) -> String? {
        let byHost = json["credHelpers"]?.objectValue ?? [:]
        let own = byHost[Self.key(host)] ?? byHost.first { Self.hostname($0.key) == Self.hostname(host) }?.value
        let name = own?.stringValue ?? json["credsStore"]?.stringValue
        return name.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// What the file itself holds for `host`.
    func entry(for host: String) throws -> RegistryCredentials? {
        let auths = json["auths"]?.objectValue ?? [:]
        let matching = auths.keys.filter { Self.hostname($0) == Self.hostname(host) }.sorted()
        let keys = [Self.key(host), host] + matching
        for key in keys {
            guard let entry = auths[key], let found = try Self.credentials(entry, key) else { continue }
            return found
        }
        return nil
    }

    /// Puts credentials into the file; nil leaves a mark that a helper keeps them, as docker does.
    mutating func setEntry(_ credentials: RegistryCredentials?, for host: String) {
        var auths = json["auths"] ?? .object([:])
        switch credentials {
        case nil: auths[Self.key(host)] = .object([:])
        case .basic(let username, let password):
            let text = Data("\(username):\(password.exposed)".utf8).base64EncodedString()
            auths[Self.key(host)] = ["auth": .string(text)]
        case .identityToken(let token): auths[Self.key(host)] = ["identitytoken": .string(token.exposed)]
        case .registryToken(let token): auths[Self.key(host)] = ["registrytoken": .string(token.exposed)]
        }
        json["auths"] = auths
    }

    /// Whether there was anything to remove.
    mutating func removeEntry(for host: String) -> Bool {
        let auths = json["auths"]?.objectValue ?? [:]
        let left = auths.filter { Self.hostname($0.key) != Self.hostname(host) }
        if auths.isEmpty { return false }
        json["auths"] = .object(left)
        return left.count != auths.count
    }

    private static func credentials(_ entry: JSONValue, _ key: String) throws -> RegistryCredentials? {
        if let token = entry["identitytoken"]?.stringValue, !token.isEmpty {
            return .identityToken(RedactedString(token))
        }
        if let token = entry["registrytoken"]?.stringValue, !token.isEmpty {
            return .registryToken(RedactedString(token))
        }
        if let auth = entry["auth"]?.stringValue, !auth.isEmpty {
            guard let data = Data(base64Encoded: auth), let colon = data.firstIndex(of: UInt8(ascii: ":")) else {
                throw RegistryError(
                    .credentialStore,
                    "the entry \"\(key)\" of docker's configuration has an auth that cannot be decoded",
                    nextStep: "galley login \(hostname(key))"
                )
            }
            var password = data[data.index(after: colon)...]
            while password.last == 0 { password = password.dropLast() }
            return .basic(
                username: String(decoding: data[..<colon], as: UTF8.self),
                password: RedactedString(String(decoding: password, as: UTF8.self))
            )
        }
        guard let username = entry["username"]?.stringValue, !username.isEmpty,
            let password = entry["password"]?.stringValue
        else { return nil }
        return .basic(username: username, password: RedactedString(password))
    }

    /// Keys are hosts, or addresses from the days of the v1 registry: only the host counts.
    static func hostname(_ key: String) -> String {
        var rest = Substring(key)
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        let host = rest.prefix { $0 != "/" }.lowercased()
        return RegistryEndpoint.dockerHubNames.contains(host) ? "docker.io" : host
    }
}
