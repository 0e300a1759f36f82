//! Translates the metrics into a request of OTLP. It reads the text that Prometheus reads, so that both show the same.
//!
//! The text is this host's own (`meters.rs`): what another program may write into such a text need not be understood.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{self as common, InstrumentationScope};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

/// Labels by name.
type Labels = BTreeMap<String, String>;

/// The samples of one metric.
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    /// The name of each sample, its labels and value.
    samples: Vec<(&'a str, Labels, f64)>,
}

/// The request with every metric of an exposition, encoded. `times` are the start of this process and now.
pub(super) fn request(exposition: &str, resource: &[KeyValue], times: (SystemTime, SystemTime)) -> Vec<u8> {
    let nanos = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    };
    let times = (nanos(times.0), nanos(times.1));
    let metrics = families(exposition).into_iter().map(|family| family.metric(times)).collect();
    let attributes = resource.iter().map(|pair| attribute(pair.key.as_str(), &pair.value.as_str())).collect();
    let scope = InstrumentationScope { name: "neuronova".to_owned(), ..InstrumentationScope::default() };
    let scope_metrics = ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() };
    let resource = Resource { attributes, ..Resource::default() };
    let resource_metrics =
        ResourceMetrics { resource: Some(resource), scope_metrics: vec![scope_metrics], schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }.encode_to_vec()
}

fn families(exposition: &str) -> Vec<Family<'_>> {
    let mut families = Vec::<Family<'_>>::new();
    for line in exposition.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.push(Family { name, help, kind: "", samples: Vec::new() });
        } else if let Some(family) = families.last_mut() {
            match line.strip_prefix("# TYPE ").and_then(|rest| rest.rsplit_once(' ')) {
                Some((_, kind)) => family.kind = kind,
                None => family.samples.extend(sample(line)),
            }
        }
    }
    families.retain(|family| !family.samples.is_empty());
    families
}

/// Reads `name{label="value",...} number`.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().ok()? };
    let Some((name, rest)) = series.split_once('{') else { return Some((series, Labels::new(), value)) };
    let mut labels = Labels::new();
    let mut rest = rest.strip_suffix('}')?;
    while let Some((label, after)) = rest.split_once("=\"") {
        let end = end_of_text(after)?;
        let text = after[..end].replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
        labels.insert(label.trim_start_matches(',').to_owned(), text);
        rest = &after[end + 1..];
    }
    Some((name, labels, value))
}

/// Where the closing quote is.
fn end_of_text(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !is_escaped => return Some(at),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    None
}

impl Family<'_> {
    fn metric(&self, times: (u64, u64)) -> Metric {
        let data = match self.kind {
            "histogram" => Data::Histogram(Histogram {
                data_points: self.histograms(times),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
            "counter" => Data::Sum(Sum {
                data_points: self.numbers(times),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
            _ => Data::Gauge(Gauge { data_points: self.numbers((0, times.1)) }),
        };
        Metric {
            name: self.name.to_owned(),
            description: self.help.to_owned(),
            unit: unit(self.name).to_owned(),
            metadata: Vec::new(),
            data: Some(data),
        }
    }

    fn numbers(&self, (start, now): (u64, u64)) -> Vec<NumberDataPoint> {
        let number = |(_, labels, value): &(&str, Labels, f64)| NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: start,
            time_unix_nano: now,
            value: Some(Value::AsDouble(*value)),
            ..NumberDataPoint::default()
        };
        self.samples.iter().map(number).collect()
    }

    /// Prometheus counts what is in a bucket and in all before it; OTLP each bucket alone.
    fn histograms(&self, (start, now): (u64, u64)) -> Vec<HistogramDataPoint> {
        let mut points = BTreeMap::<Labels, HistogramDataPoint>::new();
        let mut counted = BTreeMap::<Labels, u64>::new();
        for (name, labels, value) in &self.samples {
            let mut labels = labels.clone();
            let bound = labels.remove("le");
            let before = counted.entry(labels.clone()).or_default();
            let point = points.entry(labels).or_insert_with_key(|labels| HistogramDataPoint {
                attributes: attributes(labels),
                start_time_unix_nano: start,
                time_unix_nano: now,
                ..HistogramDataPoint::default()
            });
            match bound {
                Some(bound) => {
                    let through = whole(*value);
                    point.bucket_counts.push(through.saturating_sub(*before));
                    *before = through;
                    point.explicit_bounds.extend(bound.parse::<f64>().ok().filter(|bound| bound.is_finite()));
                }
                None if name.ends_with("_sum") => point.sum = Some(*value),
                None => point.count = whole(*value),
            }
        }
        points.into_values().collect()
    }
}

/// A count, which the text writes as a number of floating point.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: f64) -> u64 {
    value as u64
}

fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_seconds") {
        "s"
    } else if name.ends_with("_bytes") {
        "By"
    } else {
        "1"
    }
}

/// An empty label is none.
fn attributes(labels: &Labels) -> Vec<common::KeyValue> {
    let labels = labels.iter().filter(|(_, value)| !value.is_empty());
    labels.map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: &str, value: &str) -> common::KeyValue {
    let value = common::any_value::Value::StringValue(value.to_owned());
    common::KeyValue {
        key: name.to_owned(),
        value: Some(common::AnyValue { value: Some(value) }),
        ..common::KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSITION: &str = "# HELP a_total Things\n# TYPE a_total counter\na_total{target=\"x\",kind=\"\"} 3\n\
        # HELP empty Nothing\n# TYPE empty gauge\n\
        # HELP b_seconds An age\n# TYPE b_seconds gauge\nb_seconds 1.5\n\
        # HELP c_bytes Sizes\n# TYPE c_bytes histogram\nc_bytes_sum{target=\"x\"} 7.0\nc_bytes_count{target=\"x\"} 4\n\
        c_bytes_bucket{le=\"1.0\",target=\"x\"} 1\nc_bytes_bucket{le=\"2.0\",target=\"x\"} 3\n\
        c_bytes_bucket{le=\"+Inf\",target=\"x\"} 4\n";

    fn metrics() -> Vec<Metric> {
        let times = (UNIX_EPOCH, UNIX_EPOCH + std::time::Duration::from_secs(9));
        let bytes = request(EXPOSITION, &[KeyValue::new("service.name", "host")], times);
        let mut request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
        let mut of_host = request.resource_metrics.remove(0);
        assert_eq!(of_host.resource.unwrap().attributes, [attribute("service.name", "host")]);
        of_host.scope_metrics.remove(0).metrics
    }

    #[test]
    fn counters_gauges_and_histograms_are_translated() {
        let metrics = metrics();
        let names: Vec<_> = metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
        assert_eq!(names, [("a_total", "1"), ("b_seconds", "s"), ("c_bytes", "By")]);
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{:?}", metrics[0]) };
        assert!(sum.is_monotonic && sum.data_points[0].value == Some(Value::AsDouble(3.0)));
        assert_eq!(sum.data_points[0].attributes, [attribute("target", "x")], "an empty label is none");
        let Some(Data::Gauge(gauge)) = &metrics[1].data else { panic!("{:?}", metrics[1]) };
        assert_eq!(
            (gauge.data_points[0].value, gauge.data_points[0].time_unix_nano),
            (Some(Value::AsDouble(1.5)), 9_000_000_000)
        );
        let Some(Data::Histogram(histogram)) = &metrics[2].data else { panic!("{:?}", metrics[2]) };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum, point.bucket_counts.as_slice()), (4, Some(7.0), [1, 2, 1].as_slice()));
        assert_eq!(point.explicit_bounds, [1.0, 2.0]);
    }

    #[test]
    fn a_label_may_hold_every_character() {
        let (name, labels, value) = sample(r#"x{a="q\"u}o,te",b="back\\slash"} 2"#).unwrap();
        assert_eq!((name, labels["a"].as_str(), labels["b"].as_str()), ("x", "q\"u}o,te", "back\\slash"));
        assert!((value - 2.0).abs() < f64::EPSILON);
    }
}
