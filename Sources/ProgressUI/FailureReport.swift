// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The end of a failed step's output under its name, between separators, as it is printed after the build.
public func failureReport(vertexName: String, logTail: [LogLine]) -> String {
    var report = "------\n > \(LogText.name(vertexName)):\n"
    for line in logTail { report += "\(line)\n" }
    return report + "------\n"
}

func failureReports(_ steps: [FailedStep]) -> String {
    steps.map { failureReport(vertexName: $0.name, logTail: $0.output) }.joined()
}
