// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
import LinuxSystem
public import OCI
import Registry
import Snapshots

/// Everything that Galley does, over one root directory. The only place where the modules are put together.
public final class Engine: Sendable {
    let store: Store
    let client: RegistryClient
    let settings: EngineSettings

    /// Opens the root directory, makes it when it does not exist, and removes what dead processes left in it.
    public init(_ settings: EngineSettings) throws {
        self.settings = settings
        store = try Store(settings.root)
        client = RegistryClient(
            hosts: settings.registries,
            proxies: ProxySettings(environment: settings.environment)
        )
    }

    /// Ends the use of the root directory: call it last, before the program exits.
    public func close() {
        store.database.close()
        store.root.close()
    }

    var local: LocalImages { LocalImages(store: store) }

    // MARK: Names

    /// The tags of the local store, newest first.
    public func images() throws -> [ImageSummary] {
        try store.images.all().filter { !$0.isImplicit }.map(summary)
    }

    func summary(_ record: ImageRecord) throws -> ImageSummary {
        ImageSummary(
            reference: record.reference,
            id: record.config,
            repositoryDigest: record.repositoryDigest,
            created: try? local.config(record).created,
            size: try size(record)
        )
    }

    /// Gives an image a further name. An image that had it loses it.
    public func tag(_ source: String, _ target: String) throws {
        var record = try local.get(source)
        // It may be an image without a name, which a prune takes.
        for image in [record] + record.variants.map(record.variant) { _ = try local.pinnedConfig(image) }
        let reference = try Reference(target).withDefaultTag
        guard reference.digest == nil else {
            throw BuilderError(.invalidRequest, "\"\(target)\": an image cannot be given a name with a digest")
        }
        if reference.name != record.reference.name {
            // A digest belongs to the repository that it was seen in.
            record.repositoryDigest = nil
        }
        record.reference = reference
        record.updated = FileTime.now.seconds
        record.isImplicit = false
        try store.images.set(record)
        try store.database.sync()
    }

    /// Removes a name, or with an id all names of an image.
    ///
    /// - Parameter force: also when an id has several names.
    public func remove(_ name: String, force: Bool) throws -> [RemovedImage] {
        let record = try local.get(name)
        let isName = try (try? Reference(name)).map { try store.images.find($0) != nil } ?? false
        let all = try store.images.find(idPrefix: record.config.hex)
        let doomed = isName ? [record] : all
        if !isName, all.count > 1, !force {
            throw BuilderError(
                .invalidRequest,
                "conflict: unable to delete \(record.config.short) (must be forced) - image is referenced in "
                    + "multiple repositories",
                nextStep: "remove its names one by one, or add -f"
            )
        }
        var result: [RemovedImage] = []
        for item in doomed where try store.images.remove(item.reference) {
            if !item.isImplicit { result.append(.untagged(item.reference)) }
        }
        if all.count == doomed.count { result.append(.deleted(record.config)) }
        try store.database.sync()
        return result
    }

    // MARK: Looking

    /// What `docker inspect` shows of an image, as one object.
    public func inspect(_ name: String) throws -> JSONValue {
        let record = try local.get(name)
        let config = try local.config(record)
        let names = try store.images.find(idPrefix: record.config.hex).filter { !$0.isImplicit }
        var object = JSONValue.object([:])
        object["Id"] = .string(record.config.description)
        object["RepoTags"] = .array(names.map { .string($0.reference.familiar) })
        object["RepoDigests"] = .array(
            names.compactMap { name in
                name.repositoryDigest.map { .string("\(name.reference.familiarName)@\($0)") }
            }
        )
        object["Created"] = .string(config.created ?? "")
        object["Author"] = .string(config.author ?? "")
        object["Architecture"] = .string(config.platform.architecture)
        object["Variant"] = config.platform.variant.map(JSONValue.string)
        object["Os"] = .string(config.platform.os)
        object["Size"] = .integer(try size(record))
        object["Config"] = config.document["config"] ?? .object([:])
        object["RootFS"] = [
            "Type": "layers", "Layers": .array(config.diffIDs.map { .string($0.description) }),
        ]
        object["Metadata"] = ["LastTagTime": .string(FileTime(seconds: record.updated).rfc3339)]
        return object
    }

    /// The steps that made an image, newest first.
    public func history(_ name: String) throws -> [HistoryLine] {
        let record = try local.get(name)
        let config = try local.config(record)
        var layers = try store.snapshots.snapshots(for: config.diffIDs)[...]
        var lines: [HistoryLine] = []
        for entry in config.history {
            var size: Int64? = 0
            if !entry.emptyLayer {
                let layer = layers.isEmpty ? nil : layers.removeFirst()
                size = try layer.flatMap { try store.snapshots.size(of: $0) }
            }
            lines.append(
                HistoryLine(
                    image: nil,
                    created: entry.created,
                    createdBy: entry.createdBy,
                    size: size,
                    comment: entry.comment
                )
            )
        }
        if !lines.isEmpty { lines[lines.count - 1].image = record.config }
        return lines.reversed()
    }

    /// Bytes of the image's files; what was recorded when a layer is not here.
    private func size(_ record: ImageRecord) throws -> Int64 {
        if record.size > 0 { return record.size }
        guard let config = try? local.config(record) else { return 0 }
        return try store.snapshots.snapshots(for: config.diffIDs).reduce(0) { sum, id in
            sum + (try id.flatMap { try store.snapshots.size(of: $0) } ?? 0)
        }
    }

    // MARK: Credentials

    /// Checks the credentials with the registry and keeps them as docker does. Returns what to tell the user.
    public func login(_ host: String, user: String, password: String) async throws -> String {
        let credentials = RegistryCredentials.basic(username: user, password: RedactedString(password))
        try await client.ping(host, credentials: credentials)
        var file = try DockerConfigFile()
        try await file.store(credentials, for: host)
        return "Login Succeeded"
    }

    /// Forgets the credentials and says whether there were any.
    public func logout(_ host: String) async throws -> Bool {
        var file = try DockerConfigFile()
        return try await file.erase(host)
    }
}
