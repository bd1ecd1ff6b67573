//! Row groups that are read without arrays in between: codes of texts, days and amounts come
//! straight from the pages.

use super::costs::{self, Costs, NO_AMOUNT, Scale};
use super::pages::{ColumnPages, ReadPlain};
use super::values::{self, Dictionary, MISSING, NO_DAY, Starts};
use super::window::Window;
use crate::focus::columns::{COST_NAMES, Columns, TEXT_NAMES};
use arrow_schema::{DataType, Schema, TimeUnit};
use parquet::basic::{Encoding, Type};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;
use std::sync::Arc;

const DAY_SECONDS: i64 = 86_400;

/// The needed columns of a row group.
pub(super) struct RowGroup {
    pub(super) texts: [Option<Column<IsUtf8>>; TEXT_NAMES.len()],
    pub(super) tags: Option<Column<IsUtf8>>,
    pub(super) charge_starts: Column<Moments>,
    pub(super) billing_starts: Option<Column<Moments>>,
    pub(super) costs: [Option<Column<Numbers>>; COST_NAMES.len()],
    /// Rows that are not read yet.
    pub(super) left: usize,
}

impl RowGroup {
    /// `None` if a column has a type or an encoding that only the reader of arrays knows. `schema`
    /// follows from the types of the file alone; `columns` are places in it.
    pub(super) fn open<R: ChunkReader + 'static>(
        input: &Arc<R>,
        group: &RowGroupMetaData,
        schema: &Schema,
        columns: &Columns,
    ) -> Result<Option<Self>> {
        let opener = Opener {
            input,
            group,
            schema,
        };
        let mut texts = [const { None }; TEXT_NAMES.len()];

        for (text, place) in texts.iter_mut().zip(columns.texts) {
            let Some(column) = opener.optional(place)? else {
                return Ok(None);
            };
            *text = column;
        }

        let mut costs = [const { None }; COST_NAMES.len()];
        for (cost, place) in costs.iter_mut().zip(columns.costs) {
            let Some(column) = opener.optional(place)? else {
                return Ok(None);
            };
            *cost = column;
        }

        let Some(tags) = opener.optional(columns.tags)? else {
            return Ok(None);
        };
        let Some(billing_starts) = opener.optional(columns.billing_start)? else {
            return Ok(None);
        };
        let Some(charge_starts) = opener.column(columns.charge_start)? else {
            return Ok(None);
        };
        let left = usize::try_from(group.num_rows()).unwrap_or_default();

        Ok(Some(Self {
            texts,
            tags,
            charge_starts,
            billing_starts,
            costs,
            left,
        }))
    }
}

struct Opener<'a, R> {
    input: &'a Arc<R>,
    group: &'a RowGroupMetaData,
    schema: &'a Schema,
}

impl<R: ChunkReader + 'static> Opener<'_, R> {
    /// Inner `None` if the file lacks the column; outer `None` if it can't be read here.
    fn optional<K: Kind>(&self, place: Option<usize>) -> Result<Option<Option<Column<K>>>> {
        let Some(place) = place else {
            return Ok(Some(None));
        };
        Ok(self.column(place)?.map(Some))
    }

    fn column<K: Kind>(&self, place: usize) -> Result<Option<Column<K>>> {
        let all = self.group.schema_descr();
        let leaf = (0..all.num_columns()).find(|leaf| all.get_column_root_idx(*leaf) == place);
        let Some(chunk) = leaf.map(|leaf| self.group.column(leaf)) else {
            return Ok(None);
        };
        let description = chunk.column_descr();
        let is_nested = description.path().parts().len() > 1
            || description.max_rep_level() > 0
            || description.max_def_level() > 1;

        let is_known = chunk.encodings().all(|encoding| {
            #[expect(deprecated, reason = "old files have it")]
            let known = [
                Encoding::PLAIN,
                Encoding::PLAIN_DICTIONARY,
                Encoding::RLE_DICTIONARY,
                Encoding::RLE,
                Encoding::BIT_PACKED,
            ];

            known.contains(&encoding)
        });

        let kind =
            K::of(chunk, self.schema.field(place).data_type()).filter(|_| is_known && !is_nested);
        let Some(kind) = kind else { return Ok(None) };
        let rows = usize::try_from(self.group.num_rows()).unwrap_or_default();
        let (start, length) = chunk.byte_range();
        let window = Window::new(
            Arc::clone(self.input),
            self.input.len().min(start.saturating_add(length)),
        );
        let pages = SerializedPageReader::new(Arc::new(window), chunk, rows, None)?;
        let pages = ColumnPages::new(Box::new(pages), description.max_def_level() > 0);

        Ok(Some(Column { pages, kind }))
    }
}

/// A column and what its values are.
pub(super) struct Column<K: Kind> {
    pages: ColumnPages<K::Value>,
    kind: K,
}

/// The type of a column's values.
pub(super) trait Kind: Sized {
    type Value: Copy;

    /// `None` if they are something else.
    fn of(chunk: &ColumnChunkMetaData, data_type: &DataType) -> Option<Self>;
}

/// Texts, and whether they must be UTF-8.
#[derive(Clone, Copy)]
pub(super) struct IsUtf8(bool);

impl Kind for IsUtf8 {
    type Value = u32;

    fn of(chunk: &ColumnChunkMetaData, data_type: &DataType) -> Option<Self> {
        match (chunk.column_type(), data_type) {
            (Type::BYTE_ARRAY, DataType::Utf8) => Some(Self(true)),
            (Type::BYTE_ARRAY, DataType::Binary) => Some(Self(false)),
            _ => None,
        }
    }
}

impl Column<IsUtf8> {
    /// Reads the codes of the next rows.
    pub(super) fn read(&mut self, texts: &mut Dictionary, codes: &mut [u32]) -> Result<()> {
        self.pages.read(
            &mut PlainTexts {
                texts,
                is_utf8: self.kind.0,
            },
            codes,
        )
    }

    /// Gives the texts of the file's dictionary codes once more.
    pub(super) fn read_dictionary(&mut self, texts: &mut Dictionary) -> Result<()> {
        self.pages.read_dictionary(&mut PlainTexts {
            texts,
            is_utf8: self.kind.0,
        })
    }
}

struct PlainTexts<'a> {
    texts: &'a mut Dictionary,
    is_utf8: bool,
}

impl ReadPlain for PlainTexts<'_> {
    type Value = u32;
    const MISSING: u32 = MISSING;

    fn read(&mut self, bytes: &[u8], out: &mut [u32]) -> Option<usize> {
        let mut rest = bytes;
        for code in out {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            if self.is_utf8 {
                std::str::from_utf8(text).ok()?;
            }
            *code = self.texts.code(text);
            rest = behind;
        }

        Some(bytes.len() - rest.len())
    }
}

/// Points in time, counted from 1970.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    /// So many to a day.
    per_day: i64,
}

impl Kind for Moments {
    type Value = i32;

    fn of(chunk: &ColumnChunkMetaData, data_type: &DataType) -> Option<Self> {
        let per_second = match (chunk.column_type(), data_type) {
            (Type::INT32, DataType::Date32) => return Some(Self { per_day: 1 }),
            (Type::INT64, DataType::Timestamp(TimeUnit::Millisecond, _)) => 1_000,
            (Type::INT64, DataType::Timestamp(TimeUnit::Microsecond, _)) => 1_000_000,
            (Type::INT64, DataType::Timestamp(TimeUnit::Nanosecond, _)) => 1_000_000_000,
            _ => return None,
        };

        Some(Self {
            per_day: DAY_SECONDS * per_second,
        })
    }
}

impl ReadPlain for Moments {
    type Value = i32;
    const MISSING: i32 = NO_DAY;

    fn read(&mut self, bytes: &[u8], out: &mut [i32]) -> Option<usize> {
        if self.per_day == 1 {
            return each::<4, i32>(bytes, out, |bytes| {
                values::day_of_moment(i32::from_le_bytes(bytes).into(), 1)
            });
        }

        each::<8, i32>(bytes, out, |bytes| {
            values::day_of_moment(i64::from_le_bytes(bytes), self.per_day)
        })
    }
}

impl Column<Moments> {
    /// Reads the days of the next rows.
    pub(super) fn read(&mut self, starts: &mut Starts, rows: usize) -> Result<()> {
        self.pages.read(&mut self.kind, starts.slots(rows))
    }
}

#[derive(Clone, Copy)]
pub(super) enum Numbers {
    Int32(Scale),
    Int64(Scale),
    /// Big-endian, of this width in bytes.
    Fixed(usize, Scale),
    Float,
}

impl Kind for Numbers {
    type Value = i128;

    fn of(chunk: &ColumnChunkMetaData, data_type: &DataType) -> Option<Self> {
        let scale = match data_type {
            DataType::Decimal128(_, scale) => Scale::new(i32::from(*scale)),
            _ => None,
        };
        let length = usize::try_from(chunk.column_descr().type_length()).unwrap_or_default();

        match chunk.column_type() {
            Type::INT32 => scale.map(Self::Int32),
            Type::INT64 => scale.map(Self::Int64),
            Type::FIXED_LEN_BYTE_ARRAY if (1..=16).contains(&length) => {
                scale.map(|scale| Self::Fixed(length, scale))
            }
            Type::DOUBLE if *data_type == DataType::Float64 => Some(Self::Float),
            _ => None,
        }
    }
}

impl ReadPlain for Numbers {
    type Value = i128;
    const MISSING: i128 = NO_AMOUNT;

    fn read(&mut self, bytes: &[u8], out: &mut [i128]) -> Option<usize> {
        match *self {
            Self::Int32(scale) => each::<4, _>(bytes, out, |bytes| {
                scale.amount(i32::from_le_bytes(bytes).into())
            }),
            Self::Int64(scale) => each::<8, _>(bytes, out, |bytes| {
                scale.amount(i64::from_le_bytes(bytes).into())
            }),
            Self::Fixed(16, scale) => {
                each::<16, _>(bytes, out, |bytes| scale.amount(i128::from_be_bytes(bytes)))
            }
            Self::Fixed(length, scale) => {
                let used = out.len() * length;
                for (to, bytes) in out.iter_mut().zip(bytes.get(..used)?.chunks_exact(length)) {
                    // The sign fills what is not written.
                    let mut whole = [if bytes[0] < 0x80 { 0 } else { 0xff }; 16];
                    whole[16 - length..].copy_from_slice(bytes);
                    *to = scale.amount(i128::from_be_bytes(whole));
                }

                Some(used)
            }
            Self::Float => each::<8, _>(bytes, out, |bytes| {
                costs::float(f64::from_le_bytes(bytes)).0
            }),
        }
    }
}

impl Column<Numbers> {
    /// Reads the amounts of the next rows.
    pub(super) fn read(&mut self, costs: &mut Costs, rows: usize) -> Result<()> {
        self.pages.read(&mut self.kind, costs.slots(rows))
    }
}

/// Reads values of `N` bytes each.
#[inline]
fn each<const N: usize, T>(
    bytes: &[u8],
    out: &mut [T],
    value: impl Fn([u8; N]) -> T,
) -> Option<usize> {
    let used = out.len() * N;
    let (chunks, _) = bytes.get(..used)?.as_chunks::<N>();
    for (to, chunk) in out.iter_mut().zip(chunks) {
        *to = value(*chunk);
    }
    Some(used)
}
