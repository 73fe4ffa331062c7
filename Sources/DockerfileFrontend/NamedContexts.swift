// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// The contexts of `--build-context`, found by what a Dockerfile calls them.
struct NamedContexts {
    /// By name, for one platform with `::os/arch` behind it.
    private let sources: [String: ContextSource]

    init(_ contexts: [String: ContextSource]) {
        var sources: [String: ContextSource] = [:]
        for (key, source) in contexts {
            let parts = key.split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            var name = Self.normalized(parts[0].lowercased()) ?? parts[0].lowercased()
            if parts.count > 1 { name += "::" + ((try? Platform(parts[1]))?.description ?? parts[1]) }
            sources[name] = source
        }
        self.sources = sources
    }

    subscript(name: String) -> ContextSource? { sources[name] }

    /// The context that stands in for a stage or an image; one for the platform goes first.
    func name(for text: String, platform: Platform) -> String? {
        guard !sources.isEmpty, !["scratch", "context"].contains(text.lowercased()),
            let name = Self.normalized(text)
        else { return nil }
        let special = "\(name)::\(platform)"
        if sources[special] != nil { return special }
        return sources[name] != nil ? name : nil
    }

    /// Docker's short form of an image name, without `:latest`.
    private static func normalized(_ text: String) -> String? {
        guard var reference = try? Reference(text) else { return nil }
        if reference.tag == "latest" { reference.tag = nil }
        return reference.familiar
    }
}
