// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI
import Synchronization

/// The distribution's seccomp profile (docker's format), turned into what a runtime takes.
struct SeccompProfile: Sendable {
    static let standardPaths: [RawPath] = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"]

    private let document: JSONValue

    /// The first of `paths` that exists; nil when none does.
    static func load(_ paths: [RawPath]) throws -> SeccompProfile? {
        for path in paths {
            do {
                return try SeccompProfile(parsing: readFile(path, limit: 4 << 20))
            } catch let error as SystemError where error.isNotFound {
                continue
            } catch {
                throw ExecutorError(
                    .invalidSeccompProfile,
                    "cannot use the seccomp profile \(path)",
                    nextStep:
                        "repair or remove the file; Debian's comes with the package golang-github-containers-common",
                    cause: error
                )
            }
        }
        return nil
    }

    init(parsing bytes: [UInt8]) throws {
        document = try JSONValue(parsing: bytes)
        guard document["defaultAction"]?.stringValue != nil, document["syscalls"]?.arrayValue != nil else {
            throw ExecutorError(.invalidSeccompProfile, "not a seccomp profile: no defaultAction or no syscalls")
        }
    }

    /// `linux.seccomp` of the runtime specification for a process with these capabilities.
    func resolved(capabilities: Set<String>, host: HostFacts) -> JSONValue {
        var result: [String: JSONValue] = [:]
        for key in ["defaultAction", "defaultErrnoRet", "flags"] {
            if let value = document[key] { result[key] = value }
        }
        result["architectures"] = .array(architectures(host))
        result["syscalls"] = .array(
            (document["syscalls"]?.arrayValue ?? []).compactMap { rule in
                guard matches(rule, capabilities, host) else { return nil }
                return Self.rule(rule)
            }
        )
        return .object(result)
    }

    /// Whether resolved rules say more than which calls are let through: flags of the filter, or somebody to be asked.
    static func isMoreThanAFilter(_ resolved: JSONValue) -> Bool {
        let actions = [resolved["defaultAction"]] + (resolved["syscalls"]?.arrayValue ?? []).map { $0["action"] }
        return resolved["flags"]?.arrayValue?.isEmpty == false
            || actions.contains { $0?.stringValue == "SCMP_ACT_NOTIFY" }
    }

    private static func rule(_ rule: JSONValue) -> JSONValue? {
        let names = rule["names"]?.arrayValue ?? rule["name"].map { [$0] } ?? []
        guard !names.isEmpty, let action = rule["action"] else { return nil }
        var result: [String: JSONValue] = ["names": .array(names), "action": action]
        if let value = rule["errnoRet"] { result["errnoRet"] = value }
        if let value = rule["args"]?.arrayValue, !value.isEmpty { result["args"] = .array(value) }
        return .object(result)
    }

    private func matches(_ rule: JSONValue, _ capabilities: Set<String>, _ host: HostFacts) -> Bool {
        func strings(_ value: JSONValue?) -> [String] { (value?.arrayValue ?? []).compactMap(\.stringValue) }
        let includes = rule["includes"]
        let excludes = rule["excludes"]
        let needed = strings(includes?["caps"])
        let architectures = strings(includes?["arches"])
        if !needed.allSatisfy(capabilities.contains) { return false }
        if !architectures.isEmpty, !architectures.contains(host.architecture) { return false }
        if let minimum = includes?["minKernel"]?.stringValue, !Self.kernel(host.kernel, isAtLeast: minimum) {
            return false
        }
        if strings(excludes?["caps"]).contains(where: capabilities.contains) { return false }
        if strings(excludes?["arches"]).contains(host.architecture) { return false }
        if let minimum = excludes?["minKernel"]?.stringValue, Self.kernel(host.kernel, isAtLeast: minimum) {
            return false
        }
        return true
    }

    static func kernel(_ version: (Int, Int), isAtLeast text: String) -> Bool {
        let numbers = text.split(separator: ".").compactMap { Int($0) }
        return version >= (numbers.first ?? 0, numbers.count > 1 ? numbers[1] : 0)
    }

    private func architectures(_ host: HostFacts) -> [JSONValue] {
        let native: String? =
            switch host.architecture {
            case "amd64": "SCMP_ARCH_X86_64"
            case "arm64": "SCMP_ARCH_AARCH64"
            case "x86": "SCMP_ARCH_X86"
            case "arm": "SCMP_ARCH_ARM"
            case "ppc64le": "SCMP_ARCH_PPC64LE"
            case "s390x": "SCMP_ARCH_S390X"
            case "riscv64": "SCMP_ARCH_RISCV64"
            default: nil
            }
        if let listed = document["architectures"]?.arrayValue, !listed.isEmpty { return listed }
        guard let native else { return [] }
        let entry = (document["archMap"]?.arrayValue ?? []).first { $0["architecture"]?.stringValue == native }
        return [.string(native)] + (entry?["subArchitectures"]?.arrayValue ?? [])
    }
}
