// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
public import Snapshots
public import Solver

/// Layers, bottom first, of which the lowest may still be in a registry.
public struct LayerStack: Sendable {
    /// Layers that came together from outside and are known by what was asked for: an image, a commit, a file of the web.
    struct Source: Sendable {
        enum Layers: Sendable {
            case present([SnapshotID])
            case image(any ImageLayers)
            /// A former build never needed them.
            case unknown
        }

        var key: CacheKey
        var layers: Layers

        /// Nil when they are not in the store as far as is known.
        var present: [SnapshotID]? {
            switch layers {
            case .present(let layers): layers
            case .image(let image): image.fetched
            case .unknown: nil
            }
        }
    }

    enum Part: Sendable {
        case layer(SnapshotID)
        case source(Source)

        /// The layers that are in the store as far as is known.
        var present: [SnapshotID] {
            switch self {
            case .layer(let id): [id]
            case .source(let source): source.present ?? []
            }
        }
    }

    let parts: [Part]

    private init(parts: [Part]) { self.parts = parts }

    /// Layers that steps made.
    public init(_ snapshots: some Sequence<SnapshotID>) { parts = snapshots.map(Part.layer) }

    /// - Parameter key: equal for equal content.
    public init(source key: CacheKey, _ snapshots: [SnapshotID]) {
        parts = [.source(Source(key: key, layers: .present(snapshots)))]
    }

    /// - Parameter key: equal for equal content.
    public init(source key: CacheKey, image: any ImageLayers) {
        parts = [.source(Source(key: key, layers: .image(image)))]
    }

    public static func + (lower: LayerStack, upper: LayerStack) -> LayerStack {
        LayerStack(parts: lower.parts + upper.parts)
    }

    /// The layers' trees if all are in the store; nil for an image that may have to be pulled.
    public var present: [SnapshotID]? {
        var result: [SnapshotID] = []
        for part in parts {
            switch part {
            case .layer(let id): result.append(id)
            case .source(let source):
                guard let layers = source.present else { return nil }
                result += layers
            }
        }
        return result
    }

    /// The layers' trees; those of an image are pulled the first time that somebody asks.
    public func snapshots() async throws -> [SnapshotID] { try await resolved().present ?? [] }

    /// With all layers in the store.
    func resolved() async throws -> LayerStack {
        if present != nil { return self }
        var result: [Part] = []
        for part in parts {
            guard case .source(var source) = part else {
                result.append(part)
                continue
            }
            switch source.layers {
            case .present: break
            case .image(let image): source.layers = .present(try await image.snapshots())
            case .unknown: throw SnapshotError(.missing, "the layers of a former build are gone")
            }
            result.append(.source(source))
        }
        return LayerStack(parts: result)
    }

    /// Names the content: equal texts mean equal content, but not the other way round.
    var name: String {
        parts.map { part in
            switch part {
            case .layer(let id): id.description
            case .source(let source): "@\(source.key.digest.hex)"
            }
        }.joined(separator: " ")
    }

    // MARK: As text

    /// `@KEY/COUNT` and that many layers for a source, `@KEY/?` for one whose layers are not here, a number for a layer.
    var text: String {
        var words: [String] = []
        for part in parts {
            switch part {
            case .layer(let id): words.append(id.description)
            case .source(let source):
                if let layers = source.present {
                    words.append("@\(source.key.digest.hex)/\(layers.count)")
                    words += layers.map(\.description)
                } else {
                    words.append("@\(source.key.digest.hex)/?")
                }
            }
        }
        return words.joined(separator: " ")
    }

    /// Nil for a text that is no stack's.
    init?(_ text: String) {
        var words = text.split(separator: " ")[...]
        var parts: [Part] = []
        while let word = words.popFirst() {
            guard word.hasPrefix("@") else {
                guard let number = Int64(word) else { return nil }
                parts.append(.layer(SnapshotID(number)))
                continue
            }
            let fields = word.dropFirst().split(separator: "/")
            guard fields.count == 2, let digest = try? Digest("sha256:\(fields[0])") else { return nil }
            var layers = Source.Layers.unknown
            if fields[1] != "?" {
                guard let count = Int(fields[1]), (0...words.count).contains(count) else { return nil }
                let numbers = words.prefix(count).compactMap { Int64($0) }
                guard numbers.count == count else { return nil }
                words = words.dropFirst(count)
                layers = .present(numbers.map(SnapshotID.init))
            }
            parts.append(.source(Source(key: CacheKey(digest), layers: layers)))
        }
        self.init(parts: parts)
    }
}

/// An image's layers, fetched when they are first needed and once for all who need them.
public protocol ImageLayers: Sendable {
    func snapshots() async throws -> [SnapshotID]
    /// The layers, once `snapshots` has been asked for and has ended well.
    var fetched: [SnapshotID]? { get }
    /// Nobody asked for the layers so far and perhaps nobody will: shows the image as found.
    func announceUnused()
}
