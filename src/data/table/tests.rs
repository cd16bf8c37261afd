use super::*;
use crate::error::Error;
use crate::tensor::HostTensor;

fn of(text: impl AsRef<[u8]>, csv: Csv) -> Result<Table> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    csv.read(file.path())
}

fn x(t: &Table) -> &[f32] {
    t.data.features().and_then(HostTensor::as_f32).unwrap()
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, csv: Csv, at: u64, words: &[&str]) {
    match of(text, csv) {
        Err(e @ Error::BadData { offset, .. }) => {
            assert_eq!(offset, at, "{e}");
            words.iter().for_each(|w| assert!(e.to_string().contains(w), "no `{w}` in {e}"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_quotes_and_space() -> Result<()> {
    let t = of("\u{feff}a, b ,\"c, d\"\r\n1,-2.5e1,\"3\"\r\n\r\n4,5,6", Csv::new())?;
    assert_eq!((x(&t), &t.features[..]), (&[1.0, -25.0, 3.0, 4.0, 5.0, 6.0][..], &["a", "b", "c, d"].map(String::from)[..]));
    assert!(!t.data.has_labels());
    let t = of("1;2\n3;4\n", Csv::new().header(false).delimiter(';').target("1"))?;
    assert_eq!((x(&t), t.data.labels().and_then(HostTensor::as_f32)), (&[1.0, 3.0][..], Some(&[2.0, 4.0][..])));
    let t = of("a,b,c,d\n1,2,3,4\n", Csv::new().target("d").target("a").columns(["c"]))?;
    assert_eq!((x(&t), t.data.labels().unwrap().shape().dims()), (&[3.0][..], &[1, 2][..]));
    assert_eq!(t.data.labels().and_then(HostTensor::as_f32), Some(&[4.0, 1.0][..]));
    Ok(())
}

#[test]
fn words_become_numbers_in_a_stated_order() -> Result<()> {
    let text = "town,size,kind\nUlm,10,b\nBonn,9,a\nUlm,-1.5,b\nÄlm,10,c\n";
    let csv = || Csv::new().categories("town").categories("size").target("kind").categories("kind");
    let t = of(text, csv())?;
    // bytes: B, U, Ä; numbers by value
    assert_eq!(x(&t), [1.0, 2.0, 0.0, 1.0, 1.0, 0.0, 2.0, 2.0]);
    assert_eq!((&t.categories["size"][..], t.categories["town"][2].as_str()), (&["-1.5", "9", "10"].map(String::from)[..], "Älm"));
    assert_eq!((t.data.labels().and_then(HostTensor::as_u32), t.data.class_name(1)), (Some(&[1, 0, 1, 2][..]), "b".into()));
    // another file by the same words
    let test = of("town,size,kind\nÄlm,9,c\n", csv().as_read(&t))?;
    assert_eq!((x(&test), test.data.labels().and_then(HostTensor::as_u32)), (&[2.0, 1.0][..], Some(&[2][..])));
    refused("town,size,kind\nÄlm,9,d\n", csv().as_read(&t), 15, &["row 1 (line 2), column `kind`", "`d` is none of its 3 categories"]);
    let t = of(text, Csv::new().drop("size").drop("kind").one_hot("town").categories_in("town", ["Ulm", "Älm", "Bonn", "Köln"]))?;
    assert_eq!(t.features, ["town=Ulm", "town=Älm", "town=Bonn", "town=Köln"]);
    assert_eq!(x(&t)[..8], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    Ok(())
}

#[test]
fn what_is_missing() -> Result<()> {
    let text = "a,b,w\n,2,u\nNA,nan,?\n3,NULL,v\n";
    refused(text, Csv::new().categories("w"), 6, &["row 1 (line 2), column `a`", "is missing", "Csv::fill_missing"]);
    refused(text, Csv::new().fill_missing(7.0).categories("w"), 11, &["row 2 (line 3), column `w`", "is missing"]);
    let t = of(text, Csv::new().fill_missing(7.0).fill_missing_in("b", -1.0).categories("w").fill_missing_in("w", "v"))?;
    assert_eq!(x(&t), [7.0, 2.0, 0.0, 7.0, -1.0, 1.0, 3.0, -1.0, 1.0]);
    Ok(())
}

#[test]
fn what_is_no_table() {
    let csv = Csv::new;
    refused("", csv(), 0, &["empty"]);
    refused("a,b\n", csv(), 4, &["no row"]);
    refused("a,b\n1,2\n3\n", csv(), 8, &["row 2 (line 3) has 1 values", "2 columns"]);
    refused("a,b\n1,2,3\n", csv(), 4, &["has 3 values"]);
    refused("a,b\n1,two\n", csv(), 4, &["row 1 (line 2), column `b`: `two` is no number"]);
    refused("a,b\r\n1,2\r\n\r\n\r\n3\r\n", csv(), 14, &["row 2 (line 5) has 1 values"]);
    refused("a,b\r1,2\r3,x\r", csv(), 8, &["row 2 (line 3), column `b`: `x`"]);
    refused("a\n1e39\n", csv(), 2, &["`1e39` is no finite number"]);
    refused("a\ninf\n", csv(), 2, &["no finite number"]);
    refused("a,a\n1,2\n", csv(), 0, &["two columns are called `a`"]);
    refused(b"a,b\n1,\xff\n", csv(), 4, &["column `b`", "no UTF-8"]);
    refused(b"a,\xff\n1,2\n", csv(), 0, &["column 2 is no UTF-8"]);
    refused("a\n1\n", csv().target("a"), 0, &["no column is left"]);
    refused(vec![b','; 70_000], csv(), 0, &["at most 65536 columns"]);
    let many: String = ["w\n".to_string()].into_iter().chain((0..70_000).map(|i| format!("w{i}\n"))).collect();
    refused(&many, csv().categories("w"), 447_644, &["more than 65536 different words"]);
    refused(&many[..12_000], csv().one_hot("w"), 0, &["different words", "one-hot"]);
    // a terminal's escapes are not passed on
    let e = of("a\n\u{1b}[31mred\n", csv()).unwrap_err().to_string();
    assert!(!e.contains('\u{1b}') && e.contains("red"), "{e}");
}

#[test]
fn settings_that_cannot_be() {
    let says = |csv: Csv, code: &str, words: &[&str]| {
        let e = of("a,b\n1,2\n", csv).unwrap_err();
        assert_eq!(e.code(), code, "{e}");
        words.iter().for_each(|w| assert!(e.to_string().contains(w), "no `{w}` in {e}"));
    };
    says(Csv::new().target("c"), "not-found", &["column", "`c`", "a, b"]);
    says(Csv::new().fill_missing_in("z", 1.0), "not-found", &["`z`"]);
    says(Csv::new().delimiter('→'), "invalid-config", &["csv.delimiter"]);
    says(Csv::new().delimiter('"').fill_missing(f64::NAN), "invalid-config", &["csv.delimiter", "csv.fill"]);
    says(Csv::new().fill_missing_in("a", "x"), "invalid-config", &["csv.fills.a", "`x` in a column of numbers"]);
    says(Csv::new().categories("a").fill_missing_in("a", 1.0), "invalid-config", &["in a column of categories"]);
    says(Csv::new().target("a").target("b").categories("b"), "invalid-config", &["csv.targets.b"]);
    says(Csv::new().target("a").columns(["a", "b"]), "invalid-config", &["among the features"]);
    says(Csv::new().categories_in("a", ["x", "y", "x"]), "invalid-config", &["csv.categories.a", "`x` stands there twice"]);
    assert_eq!(Csv::new().read("no/such.csv").unwrap_err().code(), "io");
}

/// As a value in a file of settings.
#[test]
fn settings_are_written_and_read() {
    let csv = Csv::new().target("t").categories_in("w", ["a"]).fill_missing_in("w", "a").fill_missing_in("n", 1.5).delimiter('\t');
    let text = serde_json::to_string(&csv).unwrap();
    assert_eq!(serde_json::from_str::<Csv>(&text).unwrap(), csv);
    assert!(serde_json::from_str::<Csv>("{\"targt\": []}").is_err());
}
