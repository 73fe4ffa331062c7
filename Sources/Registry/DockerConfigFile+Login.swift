// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

extension DockerConfigFile {
    /// The credentials for `host`, from its credential helper or else from the file.
    public func credentials(for host: String) async throws -> RegistryCredentials? {
        if let name = helper(for: host), let found = try await CredentialHelper(name).get(Self.key(host)) {
            return found
        }
        return try entry(for: host)
    }

    /// Remembers credentials: with the credential helper where one is configured, else in the file, which is saved.
    public mutating func store(_ credentials: RegistryCredentials, for host: String) async throws {
        if let name = helper(for: host) {
            try await CredentialHelper(name).store(credentials, Self.key(host))
            setEntry(nil, for: host)
        } else {
            setEntry(credentials, for: host)
        }
        try save()
    }

    /// Forgets credentials. False when there were none.
    public mutating func erase(_ host: String) async throws -> Bool {
        var isKnown = false
        if let name = helper(for: host) {
            let helper = CredentialHelper(name)
            isKnown = try await helper.get(Self.key(host)) != nil
            if isKnown { try await helper.erase(Self.key(host)) }
        }
        if removeEntry(for: host) {
            isKnown = true
            try save()
        }
        return isKnown
    }

    /// Where `store` puts the credentials for `host`, for a message: the file's path or the helper's name.
    public func storeName(for host: String) -> String {
        helper(for: host).map { "docker-credential-\($0)" } ?? path
    }
}

/// The credentials of docker's configuration file, read when a registry first demands some.
public struct DockerCredentials: CredentialSource {
    private let path: String?

    /// - Parameter path: the file; nil for docker's default.
    public init(path: String? = nil) { self.path = path }

    public func credentials(for host: String) async throws -> RegistryCredentials? {
        let file = try await blocking { [path] in try DockerConfigFile(path: path ?? DockerConfigFile.defaultPath) }
        return try await file.credentials(for: host)
    }
}
