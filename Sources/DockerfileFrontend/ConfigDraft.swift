// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// The parts of a config that grow with every instruction, kept outside its JSON document, where each addition would
/// cost a walk over all of them.
struct ConfigDraft {
    private(set) var environment: [String]
    private var places: [String: Int] = [:]
    var labels: [String: String]
    var exposedPorts: Set<String>
    var volumes: Set<String>
    private(set) var history: [History]
    /// Bytes of the history added here.
    private(set) var historySize = 0

    init(_ config: ImageConfig) {
        environment = config.env
        labels = config.labels
        exposedPorts = config.exposedPorts
        volumes = config.volumes
        history = config.history
        for (index, entry) in environment.enumerated() {
            let name = splitEnvironmentEntry(entry).name
            if places[name] == nil { places[name] = index }
        }
    }

    /// Replaces the variable at its place or adds it.
    mutating func setEnvironment(_ name: String, _ value: String) {
        let entry = "\(name)=\(value)"
        if let index = places[name] {
            environment[index] = entry
        } else {
            places[name] = environment.count
            environment.append(entry)
        }
    }

    mutating func record(_ entry: History) {
        historySize += entry.createdBy.utf8.count
        history.append(entry)
    }

    func write(to config: inout ImageConfig) {
        config.env = environment
        config.labels = labels
        config.exposedPorts = exposedPorts
        config.volumes = volumes
        config.history = history
    }
}
