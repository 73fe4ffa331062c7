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

    enum Result: Equatable {
        /// The program's absolute path.
        case found(String)
        /// How the process ends without having started.
        case failure(ProcessExit)
        /// It may be there once everything is mounted.
        case unknown
    }

    func result() -> Result {
        guard let name = spec.arguments.first, !name.isEmpty else {
            return .failure(.notStarted(code: 127, reason: "no command specified"))
        }
        return name.contains("/") ? result(path: name) : result(searching: name)
    }

    private func result(path: String) -> Result {
        let absolute = path.hasPrefix("/") ? path : spec.workingDirectory + "/" + path
        func failure(_ code: Int32, _ reason: String) -> Result {
            .failure(.notStarted(code: code, reason: "exec: \"\(path)\": \(reason)"))
        }
        return switch look(absolute) {
        case .executable: .found(absolute)
        case .unknown: .unknown
        case .missing: failure(127, "stat \(path): no such file or directory")
        case .directory: failure(126, "is a directory")
        case .notExecutable: failure(126, "permission denied")
        }
    }

    private func result(searching name: String) -> Result {
        let variable = spec.environment.last { $0.hasPrefix("PATH=") }
        let path = variable.map { String($0.dropFirst("PATH=".count)) } ?? Self.defaultPath
        for directory in path.split(separator: ":") {
            let absolute = directory.hasPrefix("/") ? String(directory) : spec.workingDirectory + "/" + directory
            switch look(absolute + "/" + name) {
            case .executable: return .found(absolute + "/" + name)
            case .unknown: return .unknown
            case .missing, .directory, .notExecutable: continue
            }
        }
        return .failure(
            .notStarted(code: 127, reason: "exec: \"\(name)\": executable file not found in $PATH")
        )
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
