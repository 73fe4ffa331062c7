// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// `galley run`: an image as a container that leaves nothing behind.
public struct RunRequest: Sendable {
    public struct Volume: Sendable, Hashable {
        /// Absolute path on this machine.
        public var source: String
        public var target: String
        public var readOnly: Bool

        public init(source: String, target: String, readOnly: Bool = false) {
            self.source = source
            self.target = target
            self.readOnly = readOnly
        }
    }

    public enum Network: String, Sendable, CaseIterable {
        case host
        case none
    }

    /// A name or an id, also shortened; pulled when it is not in the local store.
    public var image: String
    /// Replaces the image's command when it is not empty.
    public var command: [String]
    /// Replaces the image's entrypoint (and drops its command); an empty list clears it.
    public var entrypoint: [String]?
    /// `KEY=value`; added to the image's.
    public var environment: [String]
    public var volumes: [Volume]
    public var workingDirectory: String?
    public var user: String?
    public var network: Network
    public var hostname: String?
    /// A terminal for the process: the three descriptors must be one.
    public var terminal: Bool
    public var standardInput: SharedFD
    public var standardOutput: SharedFD
    public var standardError: SharedFD

    public init(image: String, standardInput: SharedFD, standardOutput: SharedFD, standardError: SharedFD) {
        self.image = image
        command = []
        environment = []
        volumes = []
        network = .host
        terminal = false
        self.standardInput = standardInput
        self.standardOutput = standardOutput
        self.standardError = standardError
    }
}
