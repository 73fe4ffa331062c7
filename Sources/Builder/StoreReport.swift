// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Something that is wrong with the store.
public struct StoreFinding: Sendable, Hashable {
    /// What it is about: `image app:latest`, `layer 12`, `galley.db`.
    public var subject: String
    public var problem: String
    /// What was done about it; nil when nothing was, because nobody asked or because it cannot be.
    public var action: String?
    /// What the user should do; nil when nothing is left to do.
    public var advice: String?
}

/// What `galley doctor` found.
public struct StoreReport: Sendable, Hashable {
    /// How much was looked at.
    public struct Counts: Sendable, Hashable {
        public var images = 0
        public var layers = 0
        public var blobs = 0
        public var cacheRecords = 0
        /// Layers whose content nothing is known of to compare it with.
        public var unverifiedLayers = 0
    }

    public var findings: [StoreFinding] = []
    public var counts = Counts()

    public var isSound: Bool { findings.isEmpty }
    /// Whether something is still wrong.
    public var needsMore: Bool { findings.contains { $0.action == nil } }
}

/// How thoroughly to look at a store, and whether to repair it.
public struct ExaminationOptions: Sendable {
    /// Everything that is wrong is dropped or put right; otherwise it is only told.
    public var repairs: Bool
    /// All content is read and compared with its digests.
    public var isDeep: Bool

    public init(repairs: Bool = true, isDeep: Bool = false) {
        self.repairs = repairs
        self.isDeep = isDeep
    }
}
