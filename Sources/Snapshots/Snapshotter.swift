// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem
public import OCI

/// A layer's tree in the store.
public struct SnapshotID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let rawValue: Int64

    public init(_ rawValue: Int64) { self.rawValue = rawValue }
    public var description: String { String(rawValue) }
    public static func < (a: SnapshotID, b: SnapshotID) -> Bool { a.rawValue < b.rawValue }
}

/// Layer trees and how several make one. Nothing above knows how: overlay mounts today, plain trees elsewhere.
public protocol Snapshotter: Sendable {
    /// An empty tree that becomes a layer when it is published, and nothing when it is not.
    func begin() throws -> PendingSnapshot

    /// The layers as one tree, to read. Bottom layer first; no layer is an empty tree.
    func readTree(_ layers: [SnapshotID]) throws -> MergedTree

    /// The layers as one tree, changes to which go into `changes`.
    ///
    /// - Parameter stubs: a directory whose content appears where no layer has anything, or nil.
    func writableTree(_ layers: [SnapshotID], changes: PendingSnapshot, stubs: RawPath?) throws -> MergedTree

    /// Gives the new layer's root directory the owner, mode, times and attributes that the merged root has.
    func copyRootMetadata(from layers: [SnapshotID], to pending: PendingSnapshot) throws

    /// Makes the tree a layer for good. What it holds must be complete.
    func publish(_ pending: PendingSnapshot) throws -> SnapshotID

    /// Makes a layer for good of the archive that was written to `PendingSnapshot.makeArchive`, and of the owner, mode,
    /// times and attributes of the tree's root. The archive is unpacked when somebody looks at the layer's tree.
    func publish(_ pending: PendingSnapshot, packed: PackedLayer) throws -> SnapshotID

    /// Whether all the layers are there. If so they are marked as used now, otherwise none of them is.
    func use(_ layers: [SnapshotID]) throws -> Bool

    /// Whether the store has all these layers; what is being removed counts as gone.
    func contains(_ layers: [SnapshotID]) throws -> Bool

    /// Whether two layers hold the same, times aside.
    func haveEqualContent(
        _ a: SnapshotID,
        _ b: SnapshotID,
        checkCancellation: @escaping () throws -> Void
    ) throws -> Bool

    /// Notes what made a layer, and a digest of all that it read but the layers below.
    func setOrigin(_ id: SnapshotID, operation: String, read: String) throws

    /// The layer's own directory, in the form overlayfs gives its upper directories. Read only.
    func layerDirectory(_ id: SnapshotID) throws -> SharedFD
}

/// Layers as one tree. It is there for as long as this value is.
public final class MergedTree: Sendable {
    /// The root directory, attached nowhere.
    public let root: SharedFD

    init(root: SharedFD) { self.root = root }
}

/// A layer that is being made. Its directory goes when this value does, unless it was published.
public final class PendingSnapshot: Sendable {
    /// Holds `fs` and `work`.
    let path: RawPath
    /// The layer's root directory.
    public let directory: SharedFD
    /// The trees that changed it.
    let unmounting = Unmounting()

    init(path: RawPath, directory: SharedFD) {
        self.path = path
        self.directory = directory
    }

    deinit { discard() }

    /// Removes what was made, now rather than with the last reference. Does nothing after publishing.
    public func discard() { try? removeTree(path) }

    /// The layer's root directory by name.
    public var directoryPath: RawPath { path.appending("fs") }

    /// An empty file for the layer's archive, an uncompressed tar.
    public func makeArchive() throws -> OwnedFD {
        try open(archivePath, [.readWrite, .create, .exclusive], mode: 0o600)
    }

    var archivePath: RawPath { path.appending("layer.tar") }
}

/// What whoever wrote a layer's archive knows of it.
public struct PackedLayer: Hashable, Sendable {
    public var diffID: DiffID
    /// Bytes of its files.
    public var size: Int64

    public init(diffID: DiffID, size: Int64) {
        self.diffID = diffID
        self.size = size
    }
}

/// Why a layer cannot be made or used.
public struct SnapshotError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Value { case missing, mountFailed, badLayer, diskFull }
        private let value: Value

        /// The layer's directory is gone.
        public static let missing = Code(value: .missing)
        public static let mountFailed = Code(value: .mountFailed)
        /// The archive does not fit the layers below it.
        public static let badLayer = Code(value: .badLayer)
        public static let diskFull = Code(value: .diskFull)
    }

    public let code: Code
    public let message: String
    public let nextStep: String?

    public init(_ code: Code, _ message: String, nextStep: String? = nil) {
        self.code = code
        self.message = message
        self.nextStep = nextStep
    }

    public var description: String { nextStep.map { "\(message)\n\($0)" } ?? message }
}
