// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI
import Synchronization

/// The host's profile, resolved and compiled once per set of capabilities.
final class SeccompCache: Sendable {
    let profile: SeccompProfile?

    private struct State: Sendable {
        var rules: [Set<String>: [UInt8]] = [:]
        var compiled: [Set<String>: String] = [:]
    }

    private let state = Mutex(State())

    init(_ profile: SeccompProfile?) { self.profile = profile }

    func filter(capabilities: [String], host: HostFacts, program: RuntimeProgram) -> BundleConfig.SeccompFilter {
        guard let profile else { return .none }
        let key = Set(capabilities)
        return state.withLock { state in
            if program.takesCompiledSeccomp, let compiled = state.compiled[key] { return .compiled(compiled) }
            if let rules = state.rules[key] { return .rules(rules) }
            let rules = profile.resolved(capabilities: key, host: host).encoded()
            state.rules[key] = rules
            return .rules(rules)
        }
    }

    /// Keeps what crun compiled the rules to; it leaves that in the state of its container.
    func keep(compiledIn scratch: RawPath, capabilities: [String], program: RuntimeProgram) {
        guard profile != nil, program.takesCompiledSeccomp else { return }
        let key = Set(capabilities)
        guard state.withLock({ $0.compiled[key] == nil }) else { return }
        let path = scratch.appending("state").appending(RuntimeProgram.containerName).appending("seccomp.bpf")
        // A filter is a list of 8-byte instructions.
        guard let bytes = try? readFile(path, limit: 1 << 20), !bytes.isEmpty, bytes.count % 8 == 0 else { return }
        let text = base64(bytes)
        state.withLock { $0.compiled[key] = text }
    }
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
