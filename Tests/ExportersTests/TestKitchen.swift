// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Content
import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots

/// A store in a scratch directory, and images to export from it.
struct TestKitchen {
    let scratch: ScratchDirectory
    let root: StoreRoot
    let content: ContentStore
    let images: ImageStore
    let snapshots: OverlaySnapshotter

    init() throws {
        scratch = try ScratchDirectory()
        root = try StoreRoot(scratch.file("store"))
        let database = try MetadataDatabase(
            path: scratch.file("store/galley.db").description,
            schemas: [ImageStore.schema, OverlaySnapshotter.schema]
        )
        content = ContentStore(root)
        images = ImageStore(database)
        snapshots = OverlaySnapshotter(root, database)
    }

    /// Publishes a layer that `fill` makes with shell commands in its directory, all files of one time.
    func layer(_ fill: String) throws -> SnapshotID {
        let pending = try snapshots.begin()
        try scratch.shell("cd \(pending.directoryPath)\n\(fill)\nfind . -exec touch -h -d @1000000000 {} +")
        return try snapshots.publish(pending)
    }

    func config(layers: Int) -> ImageConfig {
        var config = ImageConfig()
        config.cmd = ["/bin/app"]
        config.env = ["PATH=/bin"]
        var history = (0..<layers).map { History(created: "2001-09-09T01:46:40Z", createdBy: "step \($0)") }
        history.append(History(created: "2001-09-09T01:46:40Z", createdBy: "CMD", emptyLayer: true))
        config.history = history
        return config
    }

    func assemble(
        _ layers: [SnapshotID],
        baseLayerCount: Int = 0,
        epoch: Int64? = nil
    ) async throws -> AssembledImage {
        let built = BuiltImage(
            layers: layers,
            config: config(layers: layers.count),
            baseLayerCount: baseLayerCount,
            platform: .host
        )
        return try await ImageAssembler(snapshots, content).assemble(
            built,
            created: FileTime(seconds: 1_000_000_000),
            epoch: epoch.map { FileTime(seconds: $0) }
        )
    }

    /// Two layers with most kinds of files.
    func sample() async throws -> AssembledImage {
        let base = try layer(
            """
            mkdir -p etc usr/bin var/empty; echo hello > etc/motd; ln -s ../etc/motd usr/motd; ln etc/motd etc/motd2
            head -c 300000 /dev/urandom > usr/bin/app; chmod 4755 usr/bin/app; chown 5:6 var/empty; chmod 1777 var/empty
            """
        )
        let top = try layer("mkdir -p etc; mknod etc/motd c 0 0; echo new > etc/new; head -c 3000000 /dev/zero > zeros")
        return try await assemble([base, top])
    }

    func blobs(_ options: LayerOptions = LayerOptions()) -> LayerBlobs {
        LayerBlobs(snapshots, content, images, options)
    }

    /// Removes all but the config; returns how many.
    func removeLayerBlobs(of image: AssembledImage) throws -> Int {
        let blobs = try content.all().map(\.digest).filter { $0 != image.configDigest }
        for blob in blobs { try removeFile(content.path(of: blob)) }
        return blobs.count
    }

    func load(_ file: String) async throws -> [LoadedImage] {
        let fd = try open(scratch.file(file), .readOnly).shared()
        return try await ImageLoader(snapshots, content, images).load(from: fd)
    }

    /// Names in the process's temporary directory and in the scratch directory.
    func leftovers() throws -> [String] {
        let directory = try open(root.temporary, [.directory])
        return try readDirectory(directory.raw).map(\.name.description).filter { $0 != "empty" }
    }

    func names() throws -> Set<String> {
        let directory = try open(scratch.path, [.directory])
        return Set(try readDirectory(directory.raw).map(\.name.description)).subtracting(["store"])
    }
}
