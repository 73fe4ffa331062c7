// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Finds the program of a process in its image before anything is started, so that the message is the same with every
/// runtime.
struct CommandLookup {
    let root: RootReader
    let spec: ProcessSpec

    /// Used when the environment has none, as the runtimes do.
    static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// How the process ends without having started; nil when the program is there.
    func failure() -> ProcessExit? {
        guard let name = spec.arguments.first, !name.isEmpty else {
            return .notStarted(code: 127, reason: "no command specified")
        }
        return name.contains("/") ? failure(path: name) : failure(searching: name)
    }

    private func failure(path: String) -> ProcessExit? {
        let absolute = path.hasPrefix("/") ? path : spec.workingDirectory + "/" + path
        switch look(absolute) {
        case .executable, .unknown: return nil
        case .missing:
            return .notStarted(code: 127, reason: "exec: \"\(path)\": stat \(path): no such file or directory")
        case .directory: return .notStarted(code: 126, reason: "exec: \"\(path)\": is a directory")
        case .notExecutable: return .notStarted(code: 126, reason: "exec: \"\(path)\": permission denied")
        }
    }

    private func failure(searching name: String) -> ProcessExit? {
        let variable = spec.environment.last { $0.hasPrefix("PATH=") }
        let path = variable.map { String($0.dropFirst("PATH=".count)) } ?? Self.defaultPath
        for directory in path.split(separator: ":") {
            let absolute = directory.hasPrefix("/") ? String(directory) : spec.workingDirectory + "/" + directory
            switch look(absolute + "/" + name) {
            case .executable, .unknown: return nil
            case .missing, .directory, .notExecutable: continue
            }
        }
        return .notStarted(code: 127, reason: "exec: \"\(name)\": executable file not found in $PATH")
    }

    private enum Finding {
        case executable
        case notExecutable
        case directory
        case missing
        /// Below a mount, or not readable: the runtime will tell.
        case unknown
    }

    private func look(_ path: String) -> Finding {
        let components = RawPath(path).components
        let covered =
            spec.mounts.contains { components.starts(with: RawPath($0.target).components) }
            || [["proc"], ["sys"], ["dev"]].contains { components.starts(with: $0.map { RawPath($0) }) }
        if covered || components.contains("..") { return .unknown }
        do {
            guard let status = try root.status(path) else { return .missing }
            if status.kind == .directory { return .directory }
            return status.permissions & 0o111 == 0 ? .notExecutable : .executable
        } catch {
            return .unknown
        }
    }
}
