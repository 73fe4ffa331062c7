// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
public import OCI
import Synchronization

/// Where compiled seccomp filters are kept beyond this process. What cannot be read or kept is compiled again.
public protocol CompiledFilters: Sendable {
    func load(_ key: Digest) -> [UInt8]?
    func save(_ key: Digest, _ filter: [UInt8])
}

/// The host's profile, resolved and compiled once per set of capabilities.
final class SeccompCache: Sendable {
    let profile: SeccompProfile?

    private struct Filter: Sendable {
        var rules: [UInt8]
        /// Names the rules and what compiles them; nil for what must be compiled each time.
        var key: Digest?
        /// In base64.
        var compiled: String?
    }

    private let kept: (any CompiledFilters)?
    private let filters = Mutex([Set<String>: Filter]())

    init(_ profile: SeccompProfile?, kept: (any CompiledFilters)? = nil) {
        self.profile = profile
        self.kept = kept
    }

    func filter(capabilities: [String], host: HostFacts, program: RuntimeProgram) -> BundleConfig.SeccompFilter {
        guard let profile else { return .none }
        let capabilities = Set(capabilities)
        return filters.withLock { filters in
            let filter = filters[capabilities] ?? make(profile, capabilities, host, program)
            filters[capabilities] = filter
            return filter.compiled.map { .compiled($0) } ?? .rules(filter.rules)
        }
    }

    private func make(
        _ profile: SeccompProfile,
        _ capabilities: Set<String>,
        _ host: HostFacts,
        _ program: RuntimeProgram
    ) -> Filter {
        let resolved = profile.resolved(capabilities: capabilities, host: host)
        var filter = Filter(rules: resolved.encoded())
        // With a compiled filter crun asks for no flags and listens to nobody, whatever the rules say.
        guard program.takesCompiledSeccomp, let identity = program.identity, !SeccompProfile.isMoreThanAFilter(resolved)
        else { return filter }
        var hasher = Digest.Hasher()
        hasher.update(identity + "\n" + host.kernelRelease + "\n")
        hasher.update(filter.rules)
        let key = hasher.finalize()
        filter.key = key
        if let bytes = kept?.load(key), Self.isFilter(bytes) { filter.compiled = base64(bytes) }
        return filter
    }

    /// Keeps what crun compiled the rules to; it leaves that in the state of its container.
    func keep(compiledIn scratch: RawPath, capabilities: [String], program: RuntimeProgram) {
        let capabilities = Set(capabilities)
        guard let filter = filters.withLock({ $0[capabilities] }), filter.compiled == nil, let key = filter.key else {
            return
        }
        let path = scratch.appending("state").appending(RuntimeProgram.containerName).appending("seccomp.bpf")
        guard let bytes = try? readFile(path, limit: 1 << 20), Self.isFilter(bytes) else { return }
        let text = base64(bytes)
        let isFirst = filters.withLock { filters in
            defer { filters[capabilities]?.compiled = text }
            return filters[capabilities]?.compiled == nil
        }
        if isFirst { kept?.save(key, bytes) }
    }

    /// A filter is a list of 8-byte instructions.
    private static func isFilter(_ bytes: [UInt8]) -> Bool { !bytes.isEmpty && bytes.count % 8 == 0 }
}

/// RFC 4648, with padding.
func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text = [UInt8]()
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        var bits: UInt32 = 0
        for offset in 0..<3 { bits = bits << 8 | (offset < group.count ? UInt32(group[start + offset]) : 0) }
        for place in 0..<4 {
            text.append(place <= group.count ? alphabet[Int(bits >> (18 - 6 * UInt32(place)) & 63)] : UInt8(ascii: "="))
        }
    }
    return String(decoding: text, as: UTF8.self)
}
