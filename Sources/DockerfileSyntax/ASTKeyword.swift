// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The instructions of the Dockerfile language.
public enum Keyword: String, Sendable, CaseIterable {
    case add = "ADD"
    case arg = "ARG"
    case cmd = "CMD"
    case copy = "COPY"
    case entrypoint = "ENTRYPOINT"
    case env = "ENV"
    case expose = "EXPOSE"
    case from = "FROM"
    case healthcheck = "HEALTHCHECK"
    case label = "LABEL"
    case maintainer = "MAINTAINER"
    case onbuild = "ONBUILD"
    case run = "RUN"
    case shell = "SHELL"
    case stopsignal = "STOPSIGNAL"
    case user = "USER"
    case volume = "VOLUME"
    case workdir = "WORKDIR"

    /// The keyword spelled by `text` in any letter case.
    public init?(spelledLike text: some StringProtocol) {
        guard text.utf8.count <= 11 else { return nil }
        self.init(rawValue: text.uppercased())
    }
}
