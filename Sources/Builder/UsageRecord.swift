// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Something that takes space in the store.
public struct UsageRecord: Hashable, Sendable {
    /// As BuildKit names them.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A layer.
        case regular
        /// What is remembered of the files of a directory outside the store.
        case local = "source.local"
        /// What was fetched from a git repository, kept for the next time.
        case gitMirror = "source.git.checkout"
        case cacheMount = "exec.cachemount"
        /// BuildKit's images of frontends: Galley has none.
        case frontend
        /// What Galley keeps for itself.
        case `internal`
    }

    public var id: String
    public var kind: Kind
    /// Ids of the layers below a layer.
    public var parents: [String]
    public var description: String
    /// Seconds since 1970.
    public var created: Int64?
    /// Nanoseconds since 1970: several are used within a second.
    public var lastUsed: Int64?
    public var uses: Int
    /// Bytes on disk.
    public var size: Int64
    /// Whether builds change it.
    public var isMutable: Bool
    /// Whether a process that runs now needs it or may need it.
    public var isInUse: Bool
    /// Whether a named image needs it.
    public var isShared: Bool
    /// Whether nothing leads to it: no image and no result of a step.
    public var isDangling: Bool

    /// Seconds since 1970.
    public var lastUsedSeconds: Int64? { lastUsed.map { $0 / 1_000_000_000 } }

    /// Whether a prune may take it.
    public var isReclaimable: Bool { !isInUse && !isShared }

    public init(
        id: String,
        kind: Kind,
        parents: [String] = [],
        description: String = "",
        created: Int64? = nil,
        lastUsed: Int64? = nil,
        uses: Int = 0,
        size: Int64,
        isMutable: Bool = false,
        isInUse: Bool = false,
        isShared: Bool = false,
        isDangling: Bool = false
    ) {
        self.id = id
        self.kind = kind
        self.parents = parents
        self.description = description
        self.created = created
        self.lastUsed = lastUsed
        self.uses = uses
        self.size = size
        self.isMutable = isMutable
        self.isInUse = isInUse
        self.isShared = isShared
        self.isDangling = isDangling
    }
}
